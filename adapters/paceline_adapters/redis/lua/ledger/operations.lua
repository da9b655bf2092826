-- The operations that a process can call.

-- The quota of a holder, unless another holder brought a newer version.
local function newest_quota(numbers)
  if numbers[5] < state['limit.version'] then
    numbers = {
      state['limit.concurrency'], state['limit.requests'], state['limit.tokens'],
      state['limit.follow'] == 1,
    }
  elseif numbers[5] > 0 then
    state['limit.concurrency'], state['limit.requests'] = numbers[1], numbers[2]
    state['limit.tokens'], state['limit.follow'] = numbers[3], numbers[4] and 1 or 0
    state['limit.version'] = numbers[5]
  end
  local quota = {follow = numbers[4]}
  if numbers[1] >= 0 then quota.concurrency = numbers[1] end
  if numbers[2] >= 0 then quota.requests = numbers[2] end
  if numbers[3] >= 0 then quota.tokens = numbers[3] end
  return quota
end

-- ARGV: 5 JSON: {limit, channel, quota {concurrency, requests, tokens, follow, version}, requests,
-- releases, numbers of confirmed leases}. Answers {ms until the next sync or -1, reason, leases
-- out, requests and tokens used and their quotas or -1, 1 if the holder was unknown, number of
-- the last lease, the time; names of pending leases…}.
local function sync()
  local limit, channel, numbers, lease_requests, releases, confirmed =
    unpack(cjson.decode(ARGV[5]), 1, 6)
  ensure_epoch()
  local quota = newest_quota(numbers)
  expire()
  if state.minute_unknown == 1 then -- assume that the whole quota of the last minute was used
    if quota.requests then count(requests, quota.requests) end
    if quota.tokens then count(tokens, quota.tokens) end
    state.minute_unknown = 0
  end
  for _, one in ipairs(releases) do release(one, quota) end
  local unknown_holder = not call('ZSCORE', ALIVE, holder)
  keep_alive()
  local before_sync = pending_of(holder)
  local pending = confirm_leases(before_sync, confirmed)
  update_requests(lease_requests, pending, channel)
  local most = effective(quota)
  local granted, reason, wait, next_flow = grant(most)
  announce(granted, pending, limit)
  if not granted[holder] and #pending ~= #before_sync then store_pending(holder, pending) end
  local answer = {
    schedule_sync(wait, next_flow, limit), reason or '', call('ZCARD', LEASES),
    state['requests.total'], state['tokens.total'], most.requests or -1, most.tokens or -1,
    unknown_holder and 1 or 0, exact(state.lease_number), exact(now),
  }
  for _, name in ipairs(pending) do answer[#answer + 1] = name end
  write_flows()
  write_state()
  return answer
end

-- ARGV: 5… leases. Answers those that had expired; they count again.
local function renew()
  ensure_epoch()
  expire()
  if call('ZSCORE', ALIVE, holder) then keep_alive() end
  local expired = {}
  for i = 5, #ARGV do
    local name = ARGV[i]
    if call('ZADD', LEASES, 'XX', 'CH', exact(now + lease), name) == 0
      and not call('ZSCORE', LEASES, name) then
      if parse(name) then call('ZADD', LEASES, exact(now + lease), name) end
      expired[#expired + 1] = name
    end
  end
  write_state()
  return expired
end

-- Called by a process before its first sync. ARGV: 5 channel of the processes that have joined,
-- 6 ms after the server's start within which these may not have reconnected. Answers the ms to
-- wait before joining again, or 0.
local function join()
  if before.open_at then return 0 end
  local info = redis.pcall('INFO', 'server')
  local up = type(info) == 'string' and string.match(info, 'uptime_in_seconds:(%d+)')
  if up and up * 1000 < tonumber(ARGV[6]) then return ARGV[6] - up * 1000 end
  local subscribers = redis.pcall('PUBSUB', 'NUMSUB', ARGV[5])
  local lost = (tonumber(subscribers[2]) or 0) > 0
  begin_epoch(lost and now + lease or now, lost)
  write_state()
  return 0
end

-- Answers a holder, the number of its leases, and so on.
local function held()
  expire()
  local numbers, answer = {}, {}
  for _, name in ipairs(call('ZRANGE', LEASES, 0, -1)) do
    local _, _, _, key = parse(name)
    local who = key and holder_of(key) or '?'
    numbers[who] = (numbers[who] or 0) + 1
  end
  for who, number in pairs(numbers) do
    answer[#answer + 1] = who
    answer[#answer + 1] = number
  end
  if before.open_at then write_state() end
  return answer
end

local operations = {sync = sync, renew = renew, join = join, held = held}
return operations[operation]()
