-- Opens an epoch when it is the one that is being prepared. KEYS: opening, proposal. ARGV: epoch.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
return 1
