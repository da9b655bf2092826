-- The ledger of one limit. Everything happens here, on the server's clock, in one step.
--
-- KEYS: 1 epoch    hash: open (when leases may be granted), turn (rising number)
--       2 leases   sorted set: lease → when it ends; a lease's name ends in ":holder"
--       3 held     hash: holder → leases it has; 0 while it only waits
--       4 wanted   hash: holder → "number channel": how many it still wants, how to wake it
--       5 waiting  sorted set: holder → turn since when it waits
--       6 seen     sorted set: holder → when its wish lapses
-- ARGV: 1 operation, 2 holder, 3 lease time; then what the operation needs. Times are ms.

local EPOCH, LEASES, HELD, WANTED, WAITING, SEEN = unpack(KEYS)
local operation, holder, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])

local MONTH = 30 * 24 * 3600 * 1000
local AT_ONCE = 1000 -- entries that one call clears away at most
local LOOK = 256     -- holders whose claims one call weighs at most, those that wait longest
local PAGE = 32

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function found(open)
  redis.call('HSET', EPOCH, 'open', open, 'turn', 0)
  return open
end

-- Where the epoch is gone, so are the leases that others still live on. Each of those ends,
-- or is renewed and so known again, within one lease time: nothing is granted until then.
local function opens()
  return tonumber(redis.call('HGET', EPOCH, 'open')) or found(now + lease)
end

local function keep()
  redis.call('PEXPIRE', EPOCH, MONTH)
  local long = math.max(3600 * 1000, 2 * lease)
  for i = 2, #KEYS do redis.call('PEXPIRE', KEYS[i], long) end
end

local function hold(who, more)
  local count = redis.call('HINCRBY', HELD, who, more)
  if count <= 0 and not redis.call('ZSCORE', WAITING, who) then
    redis.call('HDEL', HELD, who)
  end
end

local function drop(id)
  if redis.call('ZREM', LEASES, id) == 1 then
    hold(string.sub(id, string.find(id, ':', 1, true) + 1), -1)
  end
end

local function leave(who)
  redis.call('ZREM', WAITING, who)
  redis.call('ZREM', SEEN, who)
  redis.call('HDEL', WANTED, who)
  hold(who, 0)
end

local function clear()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', now, 'LIMIT', 0, AT_ONCE)) do
    drop(id)
  end
  for _, who in ipairs(redis.call('ZRANGEBYSCORE', SEEN, '-inf', now, 'LIMIT', 0, AT_ONCE)) do
    leave(who)
  end
end

local function even(capacity, more)
  return math.max(1, math.floor(capacity / math.max(1, redis.call('HLEN', HELD) + more)))
end

-- Those who wait, oldest first: calls visit(holder, wanted, missing of its share, channel)
-- until that returns true.
local function waiters(share, visit)
  for at = 0, LOOK - 1, PAGE do
    local page = redis.call('ZRANGE', WAITING, at, at + PAGE - 1)
    if #page == 0 then return end
    local held = redis.call('HMGET', HELD, unpack(page))
    local wanted = redis.call('HMGET', WANTED, unpack(page))
    for i, who in ipairs(page) do
      local number, channel = string.match(wanted[i] or '0 ', '^(%d+) (.*)$')
      number = tonumber(number)
      local missing = math.min(number, math.max(0, share - (tonumber(held[i]) or 0)))
      if visit(who, number, missing, channel) then return end
    end
    if #page < PAGE then return end
  end
end

-- How many of the free ones this holder gets: paceline.ledger.share.
local function due(capacity, free, wanted)
  if wanted <= 0 or free <= 0 then return 0 end
  local share = even(capacity, 1 - redis.call('HEXISTS', HELD, holder))
  local own = tonumber(redis.call('HGET', HELD, holder)) or 0
  local miss = math.min(wanted, math.max(0, share - own))
  local left, within = free, nil
  waiters(share, function(who, _, missing)
    if who == holder then
      within = math.max(0, math.min(miss, left))
      left = left - within
    else
      left = left - missing
    end
    return left <= 0
  end)
  if not within then
    within = math.max(0, math.min(miss, left))
    left = left - within
  end
  return within + math.max(0, math.min(wanted - within, left))
end

-- Tell those who would be granted something if they asked now. Who does not hear is gone, or
-- comes back and asks anew: nothing stays free for it.
local function wake(capacity, limit)
  local left = capacity - redis.call('ZCARD', LEASES)
  if left <= 0 then return end
  local content, deaf = {}, {}
  local function tell(who, number, channel)
    if redis.call('PUBLISH', channel, who .. '\n' .. limit) > 0 then
      left = left - number
    else
      deaf[#deaf + 1] = who
    end
    return left <= 0
  end
  waiters(even(capacity, 0), function(who, number, missing, channel)
    if who == holder then return false end
    if missing > 0 then return tell(who, missing, channel) end
    content[#content + 1] = {who, number, channel}
  end)
  for _, other in ipairs(content) do
    if left <= 0 or tell(unpack(other)) then break end
  end
  for _, who in ipairs(deaf) do leave(who) end
end

local function ends(open)
  local first = now + lease
  for _, key in ipairs({LEASES, SEEN}) do
    local entry = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
    if entry[2] then first = math.min(first, tonumber(entry[2])) end
  end
  if now < open then first = open end
  return math.max(1, first - now)
end

-- ARGV: 4 capacity, 5 wanted, 6 nonce, 7 channel, 8 limit, 9… leases to give back.
-- Answers {ms until something ends, or -1; leases…}.
local function exchange()
  local capacity, wanted, nonce = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
  local open = opens()
  clear()
  for i = 9, #ARGV do drop(ARGV[i]) end

  -- The same question, asked again because its answer was lost, gets the same leases.
  local answer = {-1}
  local function name() return nonce .. '.' .. #answer .. ':' .. holder end
  while redis.call('ZSCORE', LEASES, name()) do answer[#answer + 1] = name() end

  local missing = wanted - (#answer - 1)
  local granted = 0
  if now >= open then
    granted = due(capacity, capacity - redis.call('ZCARD', LEASES), missing)
  end
  for _ = 1, granted do
    local id = name()
    redis.call('ZADD', LEASES, now + lease, id)
    answer[#answer + 1] = id
  end
  missing = missing - granted
  if missing > 0 then
    redis.call('HSET', WANTED, holder, missing .. ' ' .. ARGV[7])
    redis.call('ZADD', SEEN, now + lease, holder)
    local turn = redis.call('HINCRBY', EPOCH, 'turn', 1)
    if #answer > 1 then -- who was served waits anew, behind the others
      redis.call('ZADD', WAITING, turn, holder)
    else
      redis.call('ZADD', WAITING, 'NX', turn, holder)
    end
    hold(holder, granted)
    answer[1] = ends(open)
  else
    if granted > 0 then hold(holder, granted) end
    leave(holder)
  end
  if now >= open then wake(capacity, ARGV[8]) end
  keep()
  return answer
end

-- ARGV: 4… leases. Answers those that are lost.
local function renew()
  local open = opens()
  clear()
  local lost = {}
  for i = 4, #ARGV do
    local id = ARGV[i]
    if redis.call('ZSCORE', LEASES, id) then
      redis.call('ZADD', LEASES, now + lease, id)
    elseif now < open then
      redis.call('ZADD', LEASES, now + lease, id)
      hold(holder, 1)
    else
      lost[#lost + 1] = id
    end
  end
  keep()
  return lost
end

-- A process that never saw this limit's epoch. ARGV: 4 channel of those who did, 5 ms after
-- the server's start in which these may not have come back. Answers ms to wait before asking
-- again, or 0.
local function join()
  if redis.call('EXISTS', EPOCH) == 1 then return 0 end
  local info = redis.pcall('INFO', 'server')
  local up = type(info) == 'string' and string.match(info, 'uptime_in_seconds:(%d+)')
  if up and up * 1000 < tonumber(ARGV[5]) then return ARGV[5] - up * 1000 end
  local others = redis.pcall('PUBSUB', 'NUMSUB', ARGV[4])
  if (tonumber(others[2]) or 0) > 0 then found(now + lease) else found(now) end
  keep()
  return 0
end

local function held()
  clear()
  return redis.call('HGETALL', HELD)
end

local operations = {exchange = exchange, renew = renew, join = join, held = held}
return operations[operation]()
