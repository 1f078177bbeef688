-- The windows of one subject: the arithmetic of silica_billing's memory/{sliding,day_count}.rs on one
-- hash. Of metric m: m..'h' head (the day for calendar days), 't' total, 'd' debt, 'n' newest slot in use
-- (when the day began for calendar days), and m..'.'..place for the slots of a ring.
local DAY = 86400000
-- Slots and their length in ms, in the order of Metric::ALL; false for calendar days.
local SPANS = {{60, 1000}, {120, 30000}, false, {60, 1000}, false, {60, 1000}, false}
-- What each counts: 1 requests, 2 tokens, 3 images.
local COUNTED = {1, 1, 1, 2, 2, 3, 3}

-- Lua prints large numbers with an exponent, which Redis takes for no integer.
local function int(n) return string.format('%.0f', n) end

local function put(c, slot, amount)
  if amount == 0 then return end
  redis.call('HINCRBY', c.key, c.m .. '.' .. slot % c.length, int(amount))
  c.t = c.t + amount
  if slot > c.n then c.n = slot end
end

local function absorb(c)
  local amount = math.min(c.d, math.max(0, c.limit - c.t))
  if amount > 0 then
    c.d = c.d - amount
    if c.slot then put(c, c.h, amount) else c.t = c.t + amount end
  end
end

-- Lets the slots of a stretch go, so that their places are free.
local function let_go(c, from, to)
  local fields, gone = {}, {}
  for slot = from, to do fields[#fields + 1] = c.m .. '.' .. slot % c.length end
  local values = redis.call('HMGET', c.key, unpack(fields))
  for i = 1, #fields do
    if values[i] then
      c.t = c.t - tonumber(values[i])
      gone[#gone + 1] = fields[i]
    end
  end
  if #gone > 0 then redis.call('HDEL', c.key, unpack(gone)) end
end

-- Whole cycles at once while the debt refills each slot with what it lets go.
local function skip_cycles(c, target)
  if c.t ~= c.limit or c.limit == 0 then return false end
  local cycles = math.min(math.floor((target - c.h) / c.length), math.floor(c.d / c.limit))
  c.h = c.h + cycles * c.length
  c.n = c.n + cycles * c.length
  c.d = c.d - cycles * c.limit
  return cycles > 0
end

local function slide(c, now)
  absorb(c)
  local target = math.floor(now / c.slot)
  while c.h < target do
    if c.t == 0 and (c.d == 0 or c.limit == 0) then
      c.h = target
    elseif c.d == 0 then
      let_go(c, c.h + 1, math.min(target, c.h + c.length))
      c.h = target
    elseif not skip_cycles(c, target) then
      c.h = c.h + 1
      let_go(c, c.h, c.h)
      absorb(c)
    end
  end
end

-- A later day begins anew; an earlier one goes on with the counts, unless 24 hours have passed.
local function turn(c, day, now)
  local days = math.max(day - c.h, (day < c.h and now - c.n >= DAY) and 1 or 0)
  if days > 0 then
    c.d = math.max(0, c.d - c.limit * (days - 1))
    c.h, c.n, c.t = day, now, 0
  end
  absorb(c)
end

-- Opens the metrics of `limits` (by metric; nil is no limit) that are in `wanted`.
local function open(key, limits, clock)
  local metrics, fields, counters = {}, {}, {}
  for m = 1, 7 do
    if limits[m] then
      metrics[#metrics + 1] = m
      for _, name in ipairs({'h', 't', 'd', 'n'}) do fields[#fields + 1] = m .. name end
    end
  end
  if #metrics == 0 then return counters end
  local values = redis.call('HMGET', key, unpack(fields))
  for i, m in ipairs(metrics) do
    local at = (i - 1) * 4
    local span = SPANS[m]
    local c = {key = key, m = m, limit = limits[m]}
    c.t, c.d = tonumber(values[at + 2] or 0), tonumber(values[at + 3] or 0)
    if span then
      c.length, c.slot = span[1] + 1, span[2]
      c.h = tonumber(values[at + 1] or math.floor(clock.now / c.slot))
      c.n = tonumber(values[at + 4] or 0)
      slide(c, clock.now)
    else
      c.h = tonumber(values[at + 1] or clock.day)
      c.n = tonumber(values[at + 4] or clock.now)
      turn(c, clock.day, clock.now)
    end
    counters[m] = c
  end
  return counters
end

local function save(counters, clock)
  local fields, key, ttl = {}, nil, 0
  for m = 1, 7 do
    local c = counters[m]
    if c then
      key = c.key
      for _, pair in ipairs({{'h', c.h}, {'t', c.t}, {'d', c.d}, {'n', c.n}}) do
        fields[#fields + 1] = m .. pair[1]
        fields[#fields + 1] = int(pair[2])
      end
      local cycles = 2 + math.ceil(c.d / math.max(c.limit, 1))
      local one = c.slot and c.slot * c.length or DAY
      ttl = math.max(ttl, one * cycles)
    end
  end
  if not key then return end
  redis.call('HSET', key, unpack(fields))
  -- A year at most: a debt beyond that is a broken engine's. Never shorter than before: these may be some of
  -- the key's metrics only.
  ttl = math.min(ttl, 366 * DAY)
  if redis.call('PTTL', key) < ttl then redis.call('PEXPIRE', key, int(ttl)) end
end

-- The slot that must become current for `amount` (1 to the total) to be let go.
local function leaves(c, amount)
  local fields = {}
  for next = c.h + 1, c.h + c.length do fields[#fields + 1] = c.m .. '.' .. next % c.length end
  local values = redis.call('HMGET', c.key, unpack(fields))
  local freed = 0
  for i = 1, #fields do
    freed = freed + tonumber(values[i] or 0)
    if freed >= amount then return c.h + i end
  end
  return c.h + c.length
end

-- How long a call must wait for room, in ms; nil when there is room now.
local function wait(c, need, clock)
  if need == 0 then return nil end
  local amount = math.min(need, c.limit)
  if not c.slot then
    if c.limit > 0 and c.t + amount <= c.limit then return nil end
    local missing = math.max(0, c.d + amount - c.limit)
    return clock.until_midnight + DAY * math.ceil(missing / math.max(c.limit, 1))
  end
  if c.limit == 0 then return c.length * c.slot end
  if c.t + amount <= c.limit then return nil end
  local to_free = c.t + amount - c.limit + c.d
  local cycles = math.floor((to_free - 1) / c.t)
  local slot = cycles * c.length + leaves(c, to_free - cycles * c.t)
  return math.max(0, slot * c.slot - clock.now)
end

-- Takes a need, at most the limit; returns the slot and how much.
local function take(c, need)
  local amount = math.min(need, c.limit)
  if c.slot then put(c, c.h, amount) else c.t = c.t + amount end
  return c.h, amount
end

-- Replaces what was taken in a slot by what was used.
local function correct(c, slot, amount, used)
  if not c.slot then
    if used > amount then
      c.d = c.d + used - amount
    elseif slot == c.h then
      c.t = math.max(0, c.t - (amount - used))
    end
    absorb(c)
    return
  end
  local is_in_ring = slot <= c.h and c.h - slot < c.length
  if used > amount then
    local excess = used - amount
    local fitting = math.min(excess, math.max(0, c.limit - c.t))
    put(c, is_in_ring and slot or c.h, fitting)
    c.d = c.d + excess - fitting
  elseif is_in_ring then
    local field = c.m .. '.' .. slot % c.length
    local back = math.min(amount - used, tonumber(redis.call('HGET', c.key, field) or 0))
    if back > 0 then
      redis.call('HINCRBY', c.key, field, int(-back))
      c.t = c.t - back
      absorb(c)
    end
  end
end

-- What is left, and when all of it is there again at the latest, in ms.
local function standing(c, clock)
  local remaining = math.max(0, c.limit - c.t)
  if c.t == 0 then return remaining, 0 end
  local cycles = math.ceil(c.d / math.max(c.limit, 1))
  if not c.slot then return remaining, clock.until_midnight + DAY * cycles end
  local slot = c.n + c.length * (1 + cycles)
  return remaining, math.max(0, slot * c.slot - clock.now)
end

-- `now` is '-' but in tests, which have a clock of their own.
local function clock_of(now, day, until_midnight)
  if now == '-' then
    local time = redis.call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  return {now = tonumber(now), day = tonumber(day), until_midnight = tonumber(until_midnight)}
end
