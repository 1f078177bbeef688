-- A process joins: what its node held before it gives back, and what it knows itself holds instead.
-- ARGV: prefix, member, node, number of buckets, (account, bucket, balance, version)..., number of holds,
-- (account, bucket, held, settled)..., then (key, month or '-', amount)...
local prefix, member, node = ARGV[1], ARGV[2], ARGV[3]
local others = redis.call('HGETALL', prefix .. 'nodes')
for i = 1, #others, 2 do
  if others[i + 1] == node then retire(prefix, others[i]) end
end
local at = 5
for _ = 1, tonumber(ARGV[4]) do
  install(prefix .. 'w:' .. ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3])
  at = at + 4
end
clear_pending(prefix, node)
local held, settled = prefix .. 'r:' .. member, prefix .. 'p:' .. node
local function claim(register, field, amount, key, part, is_settled)
  if amount == '0' then return end
  note(register, field, amount)
  add(key, part, amount)
  if is_settled then add(key, is_settled, amount) end
end
local holds = tonumber(ARGV[at])
at = at + 1
for _ = 1, holds do
  local wallet, bucket = prefix .. 'w:' .. ARGV[at], ARGV[at + 1]
  local field = 'w/' .. ARGV[at] .. '/' .. bucket
  claim(held, field, ARGV[at + 2], wallet, bucket .. ':u')
  claim(settled, field, ARGV[at + 3], wallet, bucket .. ':u', bucket .. ':p')
  at = at + 4
end
while at < #ARGV do
  local key, month = ARGV[at], ARGV[at + 1]
  if month == '-' then
    claim(held, 'k/' .. key, ARGV[at + 2], prefix .. 'k:' .. key, 'r')
  else
    claim(settled, 'k/' .. key .. '/' .. month, ARGV[at + 2], prefix .. 'k:' .. key, month .. ':u', month .. ':p')
  end
  at = at + 3
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', prefix .. 'members', now, member)
redis.call('ZADD', prefix .. 'seen', now, node)
redis.call('HSET', prefix .. 'nodes', member, node)
return 1
