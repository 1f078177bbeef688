-- Amounts of buckets and of keys' months. Nano-CNY of 64 bits do not fit Lua's numbers, so sums are
-- made by HINCRBY alone; Lua sees amounts of single calls, which are below 2^53, and compares.
--
-- Wallet of an account, by bucket: ':b' balance in the database, ':v' its version, ':u' what nodes hold
-- or have settled beyond it, ':p' the settled part of that.
-- Spending of a key: month..':b' spent in the database, ':u' and ':p' alike; 'r' held by running calls.
local function add(key, field, amount)
  redis.call('HINCRBY', key, field, amount)
end

local function negative(amount)
  return amount:sub(1, 1) == '-' and amount:sub(2) or '-' .. amount
end

local function subtract(key, field, amount)
  redis.call('HINCRBY', key, field, negative(amount))
end

-- Takes over what the database has, unless something newer is known.
local function install(wallet, bucket, balance, version)
  local known = redis.call('HGET', wallet, bucket .. ':v')
  if not known or tonumber(known) <= tonumber(version) then
    redis.call('HSET', wallet, bucket .. ':b', balance, bucket .. ':v', version)
  end
end

-- A month's spending only grows, so the larger sum is the newer one.
local function install_month(spending, month, spent)
  local known = redis.call('HGET', spending, month .. ':b')
  if not known or tonumber(known) <= tonumber(spent) then
    redis.call('HSET', spending, month .. ':b', spent)
  end
end

-- Changes an amount of a register and drops it at zero.
local function note(register, field, change)
  if redis.call('HINCRBY', register, field, change) == 0 then
    redis.call('HDEL', register, field)
  end
end

-- Gives back what one process holds. Fields of the register: 'w/account/bucket' and 'k/key'.
local function retire(prefix, member)
  local register = prefix .. 'r:' .. member
  local held = redis.call('HGETALL', register)
  for i = 1, #held, 2 do
    local kind, of, bucket = held[i]:match('^(%a)/([^/]+)/?(.*)$')
    if kind == 'w' then
      subtract(prefix .. 'w:' .. of, bucket .. ':u', held[i + 1])
    else
      subtract(prefix .. 'k:' .. of, 'r', held[i + 1])
    end
  end
  redis.call('DEL', register)
  redis.call('ZREM', prefix .. 'members', member)
  redis.call('HDEL', prefix .. 'nodes', member)
end

-- Forgets what a node has settled and not applied. Fields: 'w/account/bucket' and 'k/key/month'.
local function clear_pending(prefix, node)
  local register = prefix .. 'p:' .. node
  local pending = redis.call('HGETALL', register)
  for i = 1, #pending, 2 do
    local kind, of, part = pending[i]:match('^(%a)/([^/]+)/(.*)$')
    local key = prefix .. kind .. ':' .. of
    subtract(key, part .. ':u', pending[i + 1])
    subtract(key, part .. ':p', pending[i + 1])
    -- A part of it may be in the database's sum by now, which has to be read again.
    if kind == 'k' then redis.call('HDEL', key, part .. ':b') end
  end
  redis.call('DEL', register)
end
