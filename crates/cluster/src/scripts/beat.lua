-- A sign of life. Gives back what processes hold that have given none for too long, and forgets what nodes
-- have settled that are gone for good.
-- ARGV: prefix, member, node, ms after which a process is gone, ms after which a node is.
-- Answers the number of processes alive, the number of those that were given up, and of nodes forgotten.
local prefix, member, node = ARGV[1], ARGV[2], ARGV[3]
if not redis.call('ZSCORE', prefix .. 'members', member) then return {0, 0, 0} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', prefix .. 'members', now, member)
redis.call('ZADD', prefix .. 'seen', now, node)
local gone = redis.call('ZRANGEBYSCORE', prefix .. 'members', '-inf', now - tonumber(ARGV[4]))
for _, other in ipairs(gone) do retire(prefix, other) end
local lost = redis.call('ZRANGEBYSCORE', prefix .. 'seen', '-inf', now - tonumber(ARGV[5]))
for _, other in ipairs(lost) do
  clear_pending(prefix, other)
  redis.call('ZREM', prefix .. 'seen', other)
end
return {redis.call('ZCARD', prefix .. 'members'), #gone, #lost}
