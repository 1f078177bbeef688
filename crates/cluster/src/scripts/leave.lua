-- A process ends in order: it holds nothing any more, and its node has applied everything.
-- ARGV: prefix, member, node.
retire(ARGV[1], ARGV[2])
if redis.call('EXISTS', ARGV[1] .. 'p:' .. ARGV[3]) == 0 then
  redis.call('ZREM', ARGV[1] .. 'seen', ARGV[3])
end
return 1
