-- Restores what subjects have used on a calendar day: the higher of that and what is known counts.
-- ARGV: prefix, day, now, then (subject, requests, tokens, images)...
local clock = clock_of(ARGV[3], ARGV[2], 0)
local at = 4
while at < #ARGV do
  local key = ARGV[1] .. 'l:' .. ARGV[at]
  for i, m in ipairs({3, 5, 7}) do
    local count = tonumber(ARGV[at + i])
    if count > 0 then
      local limits = {}
      -- Its limit comes with the first call.
      limits[m] = 2 ^ 52
      local counters = open(key, limits, clock)
      counters[m].t = math.max(counters[m].t, count)
      save(counters, clock)
    end
  end
  at = at + 4
end
return 1
