-- Takes over what a key has spent in a month in the database. ARGV: prefix, key, month, spent.
install_month(ARGV[1] .. 'k:' .. ARGV[2], ARGV[3], ARGV[4])
return 1
