-- Ends one call: gives back what it held, notes what it has paid, corrects its windows.
-- KEYS: opening, members, register of what is held, register of what is settled, wallet, spending of
-- the key, then the subjects.
-- ARGV: epoch, member, now, day, ms until midnight, account, key, month of the payment, what the key's cap
-- held or '-', what the key paid, number of held parts, (bucket, amount)..., number of paid parts,
-- (bucket, amount)..., then (subject, metric, limit, slot, amount, used)...
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if not redis.call('ZSCORE', KEYS[2], ARGV[2]) then return 0 end
local clock = clock_of(ARGV[3], ARGV[4], ARGV[5])
local account, key, month = ARGV[6], ARGV[7], ARGV[8]
if ARGV[9] ~= '-' then
  subtract(KEYS[6], 'r', ARGV[9])
  note(KEYS[3], 'k/' .. key, negative(ARGV[9]))
  if ARGV[10] ~= '0' then
    add(KEYS[6], month .. ':u', ARGV[10])
    add(KEYS[6], month .. ':p', ARGV[10])
    note(KEYS[4], 'k/' .. key .. '/' .. month, ARGV[10])
  end
end
local at = 11
for i = 1, tonumber(ARGV[at]) do
  local bucket, amount = ARGV[at + 2 * i - 1], ARGV[at + 2 * i]
  subtract(KEYS[5], bucket .. ':u', amount)
  note(KEYS[3], 'w/' .. account .. '/' .. bucket, negative(amount))
end
at = at + 2 * tonumber(ARGV[at]) + 1
for i = 1, tonumber(ARGV[at]) do
  local bucket, amount = ARGV[at + 2 * i - 1], ARGV[at + 2 * i]
  add(KEYS[5], bucket .. ':u', amount)
  add(KEYS[5], bucket .. ':p', amount)
  note(KEYS[4], 'w/' .. account .. '/' .. bucket, amount)
end
at = at + 2 * tonumber(ARGV[at]) + 1
-- A subject is opened and stored once, whatever is corrected of it.
local limits = {}
for i = at, #ARGV, 6 do
  local subject = tonumber(ARGV[i])
  limits[subject] = limits[subject] or {}
  limits[subject][tonumber(ARGV[i + 1])] = tonumber(ARGV[i + 2])
end
local subjects = {}
for subject, its in pairs(limits) do subjects[subject] = open(KEYS[6 + subject], its, clock) end
for i = at, #ARGV, 6 do
  local counter = subjects[tonumber(ARGV[i])][tonumber(ARGV[i + 1])]
  correct(counter, tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4]), tonumber(ARGV[i + 5]))
end
for _, counters in pairs(subjects) do save(counters, clock) end
return 1
