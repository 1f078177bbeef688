-- Admits one call: counts the request, then takes its worst case from the limits, the key's month and
-- the wallet, all or nothing.
-- KEYS: opening, members, register of what is held, wallet, spending of the key, then the subjects.
-- ARGV: epoch, member, now, day, ms until midnight, account, key, month, cap or '-', amount, tokens,
-- images, whether the request is counted only, number of buckets, buckets in the order of spending, then
-- seven limits or '-' for each subject.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'closed'} end
if not redis.call('ZSCORE', KEYS[2], ARGV[2]) then return {'closed'} end
local clock = clock_of(ARGV[3], ARGV[4], ARGV[5])
local account, key, month, cap = ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local amount = tonumber(ARGV[10])
local needs = {1, tonumber(ARGV[11]), tonumber(ARGV[12])}
local counts_only = ARGV[13] == '1'
local buckets = {}
local at = 14
for i = 1, tonumber(ARGV[at]) do buckets[i] = ARGV[at + i] end
at = at + #buckets

local subjects = {}
for s = 6, #KEYS do
  local limits = {}
  for m = 1, 7 do limits[m] = tonumber(ARGV[at + m]) end
  at = at + 7
  subjects[#subjects + 1] = open(KEYS[s], limits, clock)
end

local function leave(answer)
  for _, counters in ipairs(subjects) do save(counters, clock) end
  return answer
end

-- The first limit without room among those that count requests, or among the others.
local function refused(of_requests)
  for s, counters in ipairs(subjects) do
    for m = 1, 7 do
      local c = counters[m]
      if c and (COUNTED[m] == 1) == of_requests then
        local pause = wait(c, needs[COUNTED[m]], clock)
        if pause then return {'limit', s, m, int(c.limit), pause} end
      end
    end
  end
end

-- What Redis has to be told first is asked for before anything is counted.
local spent, missing, available, parts = 0, amount, 0, {}
if not counts_only and amount > 0 then
  if cap ~= '-' then
    local known = redis.call('HMGET', KEYS[5], month .. ':b', month .. ':u', 'r')
    if not known[1] then return leave({'unknown', 'key'}) end
    spent = tonumber(known[1]) + tonumber(known[2] or 0) + tonumber(known[3] or 0)
  end
  local fields = {}
  for i, bucket in ipairs(buckets) do
    fields[2 * i - 1], fields[2 * i] = bucket .. ':b', bucket .. ':u'
  end
  local values = #fields > 0 and redis.call('HMGET', KEYS[4], unpack(fields)) or {}
  for i = 1, #buckets do
    if not values[2 * i - 1] then return leave({'unknown', 'bucket'}) end
    local free = math.max(0, tonumber(values[2 * i - 1]) - tonumber(values[2 * i] or 0))
    local part = math.min(free, missing)
    available = available + free
    missing = missing - part
    if part > 0 then parts[#parts + 1] = {i, part} end
  end
end

local answer = refused(true)
if answer then return leave(answer) end
for _, counters in ipairs(subjects) do
  for m = 1, 7 do
    if counters[m] and COUNTED[m] == 1 then take(counters[m], 1) end
  end
end
if counts_only then return leave({'counted'}) end
answer = refused(false)
if answer then return leave(answer) end

if cap ~= '-' and amount > 0 and spent + amount > tonumber(cap) then return leave({'cap', int(spent)}) end
if missing > 0 then return leave({'balance', int(available)}) end

local reply = {'ok', #parts}
for _, part in ipairs(parts) do
  local bucket, taken = buckets[part[1]], int(part[2])
  add(KEYS[4], bucket .. ':u', taken)
  note(KEYS[3], 'w/' .. account .. '/' .. bucket, taken)
  reply[#reply + 1] = part[1]
  reply[#reply + 1] = taken
end
if cap ~= '-' and amount > 0 then
  add(KEYS[5], 'r', int(amount))
  note(KEYS[3], 'k/' .. key, int(amount))
end
local taken = {}
for s, counters in ipairs(subjects) do
  for m = 1, 7 do
    if counters[m] and COUNTED[m] > 1 then
      local slot, part = take(counters[m], needs[COUNTED[m]])
      taken[#taken + 1] = {s, m, int(part), int(slot)}
    end
  end
end
reply[#reply + 1] = #taken
for _, part in ipairs(taken) do
  for i = 1, 4 do reply[#reply + 1] = part[i] end
end
local stands = {}
for m = 1, 7 do
  local c = subjects[1] and subjects[1][m]
  if c then
    local remaining, reset = standing(c, clock)
    stands[#stands + 1] = {m, int(c.limit), int(remaining), int(reset)}
  end
end
reply[#reply + 1] = #stands
for _, one in ipairs(stands) do
  for i = 1, 4 do reply[#reply + 1] = one[i] end
end
return leave(reply)
