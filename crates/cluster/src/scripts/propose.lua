-- The epoch that is being prepared on this server, or the one that is proposed. Asking renews it.
-- KEYS: proposal. ARGV: this server's run id, proposed epoch ("run_id epoch"), ms until it lapses.
local known = redis.call('GET', KEYS[1])
if not known or known:sub(1, #ARGV[1]) ~= ARGV[1] then known = ARGV[2] end
redis.call('SET', KEYS[1], known, 'PX', ARGV[3])
return known
