-- What a process may ask for.

-- ARGV: 5 JSON: {limit, channel, quota {concurrency, requests, tokens, follow}, asks,
-- settled, heard}. Answers {ms or -1, reason, leases out, requests and tokens used and their
-- quotas or -1, whether the holder was unknown, number of the last lease, the time; leases…}.
local function exchange()
  local limit, channel, may, asks, settled, heard = unpack(cjson.decode(ARGV[5]), 1, 6)
  local quota = {follow = may[4]}
  if may[1] >= 0 then quota.concurrency = may[1] end
  if may[2] >= 0 then quota.requests = may[2] end
  if may[3] >= 0 then quota.tokens = may[3] end
  opened()
  clear()
  if state.owe == 1 then -- as if all of the minute before had been used
    if quota.requests then count(requests, quota.requests) end
    if quota.tokens then count(tokens, quota.tokens) end
    state.owe = 0
  end
  for _, one in ipairs(settled) do settle(one, quota) end
  local forgotten = not call('ZSCORE', SEEN, holder)
  see()
  local mail = mail_of(holder)
  local unread = confirmed(mail, heard)
  note(asks, unread, channel)
  local most = effective(quota)
  local granted, reason, wait, next_one = grant(most)
  deliver(granted, unread, limit)
  if not granted[holder] and #unread ~= #mail then keep_mail(holder, unread) end
  local answer = {
    watch(wait, next_one, limit), reason or '', call('ZCARD', LEASES),
    state['requests.total'], state['tokens.total'], most.requests or -1, most.tokens or -1,
    forgotten and 1 or 0, exact(state.number), exact(now),
  }
  for _, name in ipairs(unread) do answer[#answer + 1] = name end
  save()
  write()
  return answer
end

-- ARGV: 5… leases. Answers those that had ended; they count again.
local function renew()
  opened()
  clear()
  if call('ZSCORE', SEEN, holder) then see() end
  local ended = {}
  for i = 5, #ARGV do
    local name = ARGV[i]
    if call('ZADD', LEASES, 'XX', 'CH', exact(now + lease), name) == 0
      and not call('ZSCORE', LEASES, name) then
      if parse(name) then call('ZADD', LEASES, exact(now + lease), name) end
      ended[#ended + 1] = name
    end
  end
  write()
  return ended
end

-- A process that never saw this limit's epoch. ARGV: 5 channel of those who did, 6 ms after
-- the server's start in which these may not have come back. Answers ms to wait before asking
-- again, or 0.
local function join()
  if before.open then return 0 end
  local info = redis.pcall('INFO', 'server')
  local up = type(info) == 'string' and string.match(info, 'uptime_in_seconds:(%d+)')
  if up and up * 1000 < tonumber(ARGV[6]) then return ARGV[6] - up * 1000 end
  local others = redis.pcall('PUBSUB', 'NUMSUB', ARGV[5])
  local lost = (tonumber(others[2]) or 0) > 0
  found(lost and now + lease or now, lost)
  write()
  return 0
end

-- Answers holder, number of its leases, and so on.
local function held()
  clear()
  local counts, answer = {}, {}
  for _, name in ipairs(call('ZRANGE', LEASES, 0, -1)) do
    local _, _, _, key = parse(name)
    local who = key and owner(key) or '?'
    counts[who] = (counts[who] or 0) + 1
  end
  for who, number in pairs(counts) do
    answer[#answer + 1] = who
    answer[#answer + 1] = number
  end
  if before.open then write() end
  return answer
end

local operations = {exchange = exchange, renew = renew, join = join, held = held}
return operations[operation]()
