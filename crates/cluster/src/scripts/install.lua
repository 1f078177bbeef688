-- Takes over what the database has. Good at any time: older readings change nothing.
-- ARGV: prefix, then (account, bucket, balance, version)...
local at = 2
while at < #ARGV do
  install(ARGV[1] .. 'w:' .. ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3])
  at = at + 4
end
return 1
