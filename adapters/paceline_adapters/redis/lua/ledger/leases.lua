-- Leases: settled, confirmed, granted and told of, as in paceline.admission.lease_table and inbox.

local function mail_of(who)
  local packed = call('HGET', MAIL, who)
  return packed and cmsgpack.unpack(packed) or {}
end

local function keep_mail(who, mail)
  if #mail > 0 then
    call('HSET', MAIL, who, cmsgpack.pack(mail))
  else
    call('HDEL', MAIL, who)
  end
end

local function clear()
  expire_meter(requests)
  expire_meter(tokens)
  local idle = call('ZRANGEBYSCORE', IDLE, '-inf', exact(now - FORGET), 'LIMIT', 0, AT_ONCE)
  if #idle > 0 then
    call('ZREM', IDLE, unpack(idle))
    call('HDEL', FLOWS, unpack(idle))
  end
  local over = call('ZRANGEBYSCORE', LEASES, '-inf', exact(now), 'LIMIT', 0, AT_ONCE)
  if #over > 0 then call('ZREM', LEASES, unpack(over)) end
  for _, name in ipairs(over) do
    local _, _, _, key = parse(name)
    if key then
      local who = owner(key)
      call('ZREM', SEEN, who)
      local mail, left = mail_of(who), {}
      for _, other in ipairs(mail) do
        if other ~= name then left[#left + 1] = other end
      end
      if #mail > 0 then keep_mail(who, left) end
    end
  end
  local dead = call('ZRANGEBYSCORE', SEEN, '-inf', exact(now), 'LIMIT', 0, AT_ONCE)
  for _, who in ipairs(dead) do
    call('ZREM', SEEN, who)
    call('HDEL', MAIL, who)
  end
end

local function see() call('ZADD', SEEN, exact(now + lease), holder) end

local function lower(set_to, said, follow)
  if said == 0 or (not set_to and not follow) then return set_to end
  return set_to and min(said, set_to) or said
end

local function effective(quota)
  return {
    concurrency = quota.concurrency,
    requests = lower(quota.requests, state['requests.limit'], quota.follow),
    tokens = lower(quota.tokens, state['tokens.limit'], quota.follow),
  }
end

local function heed(granted, said, quota)
  if said[1] >= 0 then state['requests.limit'] = min(max(1, said[1]), MOST) end
  if said[3] >= 0 then state['tokens.limit'] = min(max(1, said[3]), MOST) end
  local most = effective(quota)
  for _, one in ipairs({
    {requests, most.requests, said[1], said[2]},
    {tokens, most.tokens, said[3], said[4]},
  }) do
    local meter, whole, limit, left = unpack(one, 1, 4)
    if whole and limit >= 0 and left >= 0 then
      local others = foreign(meter, granted, min(limit, MOST) - left, whole)
      if others > 0 then count(meter, others) end
    end
  end
end

-- one: {lease, tokens, refused, retry after, headroom}; -1 where there is none.
local function settle(one, quota)
  local name, real, refused, retry_after, said = unpack(one, 1, 5)
  if call('ZREM', LEASES, name) == 0 then return end
  local number, granted, cost, key = parse(name)
  local most = effective(quota)
  if real == 0 and most.requests then correct(requests, granted, -1, most.requests) end
  if real >= 0 then
    real = min(real, MOST)
    if most.tokens and real ~= cost then correct(tokens, granted, real - cost, most.tokens) end
    correct_flow(key, real - max(1, cost))
  end
  if refused then
    refuse(granted, number, retry_after)
    hold(requests)
    hold(tokens)
  elseif real ~= 0 and granted >= state['until'] then
    state.strikes = 0
  end
  if #said > 0 then heed(granted, said, quota) end
end

local function confirmed(mail, heard)
  local told, left = {}, {}
  for _, number in ipairs(heard) do told[number] = true end
  for _, name in ipairs(mail) do
    call('ZADD', LEASES, 'XX', exact(now + lease), name)
    if not told[parse(name)] then left[#left + 1] = name end
  end
  return left
end

local function note(asks, mail, channel)
  for _, one in ipairs(asks) do
    local flow_name, tenant, share, costs = unpack(one, 1, 4)
    local unheard = 0
    for _, name in ipairs(mail) do
      local _, _, _, key = parse(name)
      if key == holder .. '|' .. flow_name then unheard = unheard + 1 end
    end
    for _ = 1, unheard do costs = cut(costs) end
    ask(flow_name, tenant, share, costs, channel)
  end
end

local function first_end()
  local entry = call('ZRANGE', LEASES, 0, 0, 'WITHSCORES')
  return entry[2] and tonumber(entry[2]) - now or -1
end

-- Why the next call cannot start, and in how many ms that may be over; nil: it can.
local function obstacle(quota, out, cost)
  if now < state.open then return 'unknown', state.open - now end
  if quota.concurrency and out >= quota.concurrency then return 'concurrency', first_end() end
  local wait = wait_for_hold(quota.concurrency)
  if wait > 0 then return 'refused', wait end
  local reason, longest = nil, 0
  for _, one in ipairs({{requests, 1, quota.requests}, {tokens, cost, quota.tokens}}) do
    local meter, amount, most = unpack(one, 1, 3)
    if most then
      local paced
      wait, paced = wait_for(meter, amount, most)
      if wait > longest then
        reason, longest = paced and 'pace' or meter.name, wait
      end
    end
  end
  return reason, longest
end

local function hears(who, channel, known)
  if who == holder then return true end
  if known[who] == nil then
    local others = redis.pcall('PUBSUB', 'NUMSUB', channel)
    known[who] = call('ZSCORE', SEEN, who) and (tonumber(others[2]) or 0) > 0
  end
  return known[who]
end

-- Grants what is free to who is next. Returns what was granted to whom, holder → {channel,
-- leases}; and of who is next now: why it waits, for how long, and its flow.
local function grant(quota)
  local granted, known = {}, {}
  local out = call('ZCARD', LEASES)
  local key, flow = first()
  while key do
    if not hears(flow.holder, flow.channel, known) then
      drop(key, flow)
    else
      local reason, wait = obstacle(quota, out, head(flow.costs))
      if reason then return granted, reason, wait, flow end
      local cost = serve(key, flow)
      if returning(quota.concurrency) then
        state.returns = max(state.returns, now) + RETURN / quota.concurrency
      end
      if quota.requests then charge(requests, 1, quota.requests) end
      if quota.tokens then
        cost = min(cost, quota.tokens)
        charge(tokens, cost, quota.tokens)
      end
      state.number = state.number + 1
      local name = string.format('%.0f.%.0f.%.0f:%s', state.number, now, cost, key)
      local ends = now + lease
      if flow.holder ~= holder then
        ends = min(now + confirm, tonumber(call('ZSCORE', SEEN, flow.holder)))
      end
      call('ZADD', LEASES, exact(ends), name)
      out = out + 1
      local mine = granted[flow.holder] or {channel = flow.channel, leases = {}}
      granted[flow.holder] = mine
      mine.leases[#mine.leases + 1] = name
    end
    key, flow = first()
  end
  return granted
end

local function deliver(granted, mail, limit)
  for who, his in pairs(granted) do
    local all = who == holder and mail or mail_of(who)
    for _, name in ipairs(his.leases) do all[#all + 1] = name end
    call('HSET', MAIL, who, cmsgpack.pack(all))
    if who ~= holder then
      call('PUBLISH', his.channel, cjson.encode({who, limit, his.leases}))
    end
  end
end

local function waits(who) return in_line('h:' .. who) > 0 end

-- Who comes back for all, and when. Returns in how many ms the asker does, or -1.
local function watch(wait, flow, limit)
  if not flow or not wait or wait < 0 then
    state.alarm, alarmist = 0, ''
    return -1
  end
  local due, mine = now + wait, waits(holder)
  if alarmist ~= '' and alarmist ~= holder then
    local good = now <= state.alarm + LATE and state.alarm <= due + LATE
    if good and call('ZSCORE', SEEN, alarmist) and waits(alarmist) then
      return mine and wait + BACKUP or -1
    end
  end
  if mine then
    state.alarm, alarmist = due, holder
    return wait
  end
  state.alarm, alarmist = due, flow.holder
  call('PUBLISH', flow.channel, cjson.encode({flow.holder, limit, {}}))
  return -1
end
