-- Leases: released, confirmed, granted and announced, as in paceline.admission.lease_table.

local function pending_of(who)
  local packed = call('HGET', PENDING, who)
  return packed and cmsgpack.unpack(packed) or {}
end

local function store_pending(who, names)
  if #names > 0 then
    call('HSET', PENDING, who, cmsgpack.pack(names))
  else
    call('HDEL', PENDING, who)
  end
end

local function expire()
  expire_window(requests)
  expire_window(tokens)
  local idle = call('ZRANGEBYSCORE', IDLE, '-inf', exact(now - IDLE_TIME), 'LIMIT', 0, BATCH)
  if #idle > 0 then
    call('ZREM', IDLE, unpack(idle))
    call('HDEL', FLOWS, unpack(idle))
  end
  local expired = call('ZRANGEBYSCORE', LEASES, '-inf', exact(now), 'LIMIT', 0, BATCH)
  if #expired > 0 then call('ZREM', LEASES, unpack(expired)) end
  for _, name in ipairs(expired) do
    local _, _, _, key = parse(name)
    if key then
      local who = holder_of(key)
      call('ZREM', ALIVE, who)
      local pending, left = pending_of(who), {}
      for _, other in ipairs(pending) do
        if other ~= name then left[#left + 1] = other end
      end
      if #pending > 0 then store_pending(who, left) end
    end
  end
  local dead = call('ZRANGEBYSCORE', ALIVE, '-inf', exact(now), 'LIMIT', 0, BATCH)
  for _, who in ipairs(dead) do
    call('ZREM', ALIVE, who)
    call('HDEL', PENDING, who)
  end
end

local function keep_alive() call('ZADD', ALIVE, exact(now + lease), holder) end

local function lower(own, provider, follow)
  if provider == 0 or (not own and not follow) then return own end
  return own and min(provider, own) or provider
end

local function effective(quota)
  return {
    concurrency = quota.concurrency,
    requests = lower(quota.requests, state['requests.quota'], quota.follow),
    tokens = lower(quota.tokens, state['tokens.quota'], quota.follow),
  }
end

-- info: {requests, requests left, tokens, tokens left}; -1 if the provider named no number.
local function use_headers(granted, info, quota)
  if info[1] >= 0 then state['requests.quota'] = min(max(1, info[1]), MAX_AMOUNT) end
  if info[3] >= 0 then state['tokens.quota'] = min(max(1, info[3]), MAX_AMOUNT) end
  local most = effective(quota)
  for _, one in ipairs({
    {requests, most.requests, info[1], info[2]},
    {tokens, most.tokens, info[3], info[4]},
  }) do
    local window, total, limit, left = unpack(one, 1, 4)
    if total and limit >= 0 and left >= 0 then
      local others = used_by_others(window, granted, min(limit, MAX_AMOUNT) - left, total)
      if others > 0 then count(window, others) end
    end
  end
end

-- one: {lease, tokens, refused, retry after, rate-limit info}; -1 for a missing number.
local function release(one, quota)
  local name, real, refused, retry_after, info = unpack(one, 1, 5)
  if call('ZREM', LEASES, name) == 0 then return end
  local number, granted, cost, key = parse(name)
  local most = effective(quota)
  if real == 0 and most.requests then correct(requests, granted, -1, most.requests) end
  if real >= 0 then
    real = min(real, MAX_AMOUNT)
    if most.tokens and real ~= cost then correct(tokens, granted, real - cost, most.tokens) end
    correct_flow(key, real - max(1, cost))
  end
  if refused then
    call_refused(granted, number, retry_after)
    pause_window(requests)
    pause_window(tokens)
  elseif real ~= 0 then
    call_succeeded(granted)
  end
  if #info > 0 then use_headers(granted, info, quota) end
end

-- Returns the leases that the holder has not confirmed. They live for a lease time from now on,
-- as the holder receives them with this answer.
local function confirm_leases(pending, numbers)
  local received, left = {}, {}
  for _, number in ipairs(numbers) do received[number] = true end
  for _, name in ipairs(pending) do
    call('ZADD', LEASES, 'XX', exact(now + lease), name)
    if not received[parse(name)] then left[#left + 1] = name end
  end
  return left
end

local function update_requests(lease_requests, pending, channel)
  for _, one in ipairs(lease_requests) do
    local flow_name, tenant, tenant_weight, costs, points = unpack(one, 1, 5)
    for _, name in ipairs(pending) do
      local _, _, _, key = parse(name)
      if key == holder .. '|' .. flow_name then costs = other_costs(costs) end
    end
    update_flow(flow_name, tenant, tenant_weight, costs, points or 16, channel)
  end
end

local function first_end()
  local entry = call('ZRANGE', LEASES, 0, 0, 'WITHSCORES')
  return entry[2] and tonumber(entry[2]) - now or -1
end

-- Why the next call cannot start, and the ms after which it perhaps can; nil: it can start now.
local function obstacle(quota, out, cost)
  if now < state.open_at then return 'unknown', state.open_at - now end
  if quota.concurrency and out >= quota.concurrency then return 'concurrency', first_end() end
  local wait = pause_wait(quota.concurrency)
  if wait > 0 then return 'refused', wait end
  local reason, longest = nil, 0
  for _, one in ipairs({{requests, 1, quota.requests}, {tokens, cost, quota.tokens}}) do
    local window, amount, total = unpack(one, 1, 3)
    if total then
      local paced
      wait, paced = window_wait(window, amount, total)
      if wait > longest then
        reason, longest = paced and 'pace' or window.name, wait
      end
    end
  end
  return reason, longest
end

local function reachable(who, channel, known)
  if who == holder then return true end
  if known[who] == nil then
    local subscribers = redis.pcall('PUBSUB', 'NUMSUB', channel)
    known[who] = call('ZSCORE', ALIVE, who) and (tonumber(subscribers[2]) or 0) > 0
  end
  return known[who]
end

-- Grants free capacity to the next flows. Returns the new leases, holder → {channel, leases}; and,
-- if flows still wait, why the next one must wait, for how many ms, and its record.
local function grant(quota)
  local granted, known = {}, {}
  local out = call('ZCARD', LEASES)
  local key, flow = first_flow()
  while key do
    if not reachable(flow.holder, flow.channel, known) then
      drop(key, flow)
    else
      local reason, wait = obstacle(quota, out, first_cost(flow.costs))
      if reason then return granted, reason, wait, flow end
      local cost = serve(key, flow)
      call_started(quota.concurrency)
      if quota.requests then charge(requests, 1, quota.requests) end
      if quota.tokens then
        cost = min(cost, quota.tokens)
        charge(tokens, cost, quota.tokens)
      end
      state.lease_number = state.lease_number + 1
      local name = string.format('%.0f.%.0f.%.0f:%s', state.lease_number, now, cost, key)
      local ends = now + lease
      if flow.holder ~= holder then
        ends = min(now + confirm, tonumber(call('ZSCORE', ALIVE, flow.holder)))
      end
      call('ZADD', LEASES, exact(ends), name)
      out = out + 1
      local grants = granted[flow.holder] or {channel = flow.channel, leases = {}}
      granted[flow.holder] = grants
      grants.leases[#grants.leases + 1] = name
    end
    key, flow = first_flow()
  end
  return granted
end

-- Stores the new leases as pending, and notifies the other holders of theirs.
local function announce(granted, pending, limit)
  for who, grants in pairs(granted) do
    local all = who == holder and pending or pending_of(who)
    for _, name in ipairs(grants.leases) do all[#all + 1] = name end
    call('HSET', PENDING, who, cmsgpack.pack(all))
    if who ~= holder then
      call('PUBLISH', grants.channel, cjson.encode({who, limit, grants.leases}))
    end
  end
end

-- Makes one holder responsible for the next sync. Returns the ms until the caller must sync, or -1.
local function schedule_sync(wait, flow, limit)
  if not flow or not wait or wait < 0 then
    state.next_sync, responsible = 0, ''
    return -1
  end
  local due, waiting = now + wait, has_waiters(holder)
  if responsible ~= '' and responsible ~= holder then
    local in_time = now <= state.next_sync + LATE and state.next_sync <= due + LATE
    if in_time and call('ZSCORE', ALIVE, responsible) and has_waiters(responsible) then
      return waiting and wait + BACKUP or -1
    end
  end
  if waiting then
    state.next_sync, responsible = due, holder
    return wait
  end
  state.next_sync, responsible = due, flow.holder
  call('PUBLISH', flow.channel, cjson.encode({flow.holder, limit, {}}))
  return -1
end
