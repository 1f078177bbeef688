-- The epoch that is being prepared on this server, or the one that is proposed.
-- KEYS: proposal. ARGV: this server's run id, proposed epoch ("run_id epoch"), ms until it lapses.
local known = redis.call('GET', KEYS[1])
if known and known:sub(1, #ARGV[1]) == ARGV[1] then
  return known
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return ARGV[2]
