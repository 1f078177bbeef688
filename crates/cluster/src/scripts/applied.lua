-- Notes what a node's applier has brought into the database.
-- KEYS: opening, members, register of what is settled.
-- ARGV: epoch, member, prefix, number of buckets, (account, bucket, balance, version, settled)..., then
-- (key, month, spent in the database, settled)...
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if not redis.call('ZSCORE', KEYS[2], ARGV[2]) then return 0 end
local prefix = ARGV[3]
local at = 5
local function settle(kind, of, part, amount)
  if amount == '0' then return end
  local key = prefix .. kind .. ':' .. of
  subtract(key, part .. ':u', amount)
  subtract(key, part .. ':p', amount)
  note(KEYS[3], kind .. '/' .. of .. '/' .. part, negative(amount))
end
for _ = 1, tonumber(ARGV[4]) do
  install(prefix .. 'w:' .. ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3])
  settle('w', ARGV[at], ARGV[at + 1], ARGV[at + 4])
  at = at + 5
end
while at < #ARGV do
  install_month(prefix .. 'k:' .. ARGV[at], ARGV[at + 1], ARGV[at + 2])
  settle('k', ARGV[at], ARGV[at + 1], ARGV[at + 3])
  at = at + 4
end
return 1
