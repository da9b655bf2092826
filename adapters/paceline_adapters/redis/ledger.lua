-- The ledger of one limit. Everything happens here, on the server's clock, in one step.
--
-- The arithmetic is that of paceline.admission (Book, Line, Meter, Hold), step by step and in
-- the same order, so that both give the same answers; what is written there of why is not
-- written here again. What is only here: the clock that never falls, the epoch of a server
-- that lost its data, and who hears.
--
-- KEYS: 1 epoch     hash: all that is a single value (see FIELDS)
--       2 leases    sorted set: lease → when it ends
--       3 line      sorted set: flows that wait, by tag and then by turn
--       4 flows     hash: flow → its record, packed
--       5 idle      sorted set: flow → since when nobody waits in it
--       6 counts    hash: flows in line of a tenant (t:) and of a holder (h:)
--       7 seen      sorted set: holder → when it counts as dead
--       8 mail      hash: holder → leases that it has not confirmed, packed
--       9 requests  hash: slot → "amount peak"
--      10 tokens    hash: likewise
-- ARGV: 1 operation, 2 holder, 3 lease time, 4 confirmation time, then what the operation
-- needs. Times are ms. A lease is named "number.granted.cost:holder|flow".

local EPOCH, LEASES, LINE, FLOWS, IDLE, COUNTS, SEEN, MAIL = unpack(KEYS)
local operation, holder, lease, confirm = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

local MINUTE, SLOT, MARGIN, AHEAD, BURST, BREATH = 60000, 500, 500, 1.05, 1500, 250
local FIRST, LONGEST, LEAST, RETURN, TOGETHER = 1000, 60000, 20, 5000, 100
local LATE, BACKUP, FORGET = 250, 1000, 60000
local KEEP = 60000 -- keys are given longer to live as often, and when the limit falls idle
local MOST = 1000000000
local MONTH = 30 * 24 * 3600 * 1000
local AT_ONCE = 1000 -- entries that one call clears away at most
local SLOTS = (MINUTE + MARGIN) / SLOT + 8 -- more than the window ever holds

local floor, ceil, max, min = math.floor, math.ceil, math.max, math.min
local call = redis.call

local FIELDS = {
  'open',     -- when leases may be granted
  'owe',      -- 1: what was used in the minute before the epoch is not known
  'last', 'offset',              -- the clock that never falls: last time, and what it is ahead
  'number', 'turn',              -- of the last lease; of the last new flow
  'virtual',                     -- virtual time of the line
  'until', 'began', 'strikes', 'returns',            -- the hold
  'requests.total', 'requests.first', 'requests.due', 'requests.limit',
  'tokens.total', 'tokens.first', 'tokens.due', 'tokens.limit',
  'alarm',                       -- when somebody comes back for all
  'kept',                        -- when the keys were last given longer to live
}
local state, before = {}, {}
local alarmist -- who that is
local now      -- the time

local function exact(number)
  if number == floor(number) and math.abs(number) < 1e15 then
    return string.format('%.0f', number)
  end
  return string.format('%.17g', number)
end

local function read()
  local values = call('HMGET', EPOCH, 'alarmist', unpack(FIELDS))
  alarmist = values[1] or ''
  before.alarmist = alarmist
  for i, name in ipairs(FIELDS) do
    before[name] = values[i + 1]
    state[name] = tonumber(values[i + 1]) or 0
  end
end

local function write()
  local keeps = now - state.kept >= KEEP or call('EXISTS', LEASES) == 0
  if keeps then state.kept = now end
  local changed = {}
  for _, name in ipairs(FIELDS) do
    local text = exact(state[name])
    if text ~= before[name] then
      changed[#changed + 1] = name
      changed[#changed + 1] = text
    end
  end
  if alarmist ~= before.alarmist then
    changed[#changed + 1] = 'alarmist'
    changed[#changed + 1] = alarmist
  end
  if #changed > 0 then call('HSET', EPOCH, unpack(changed)) end
  if not keeps then return end
  call('PEXPIRE', EPOCH, MONTH)
  local long = max(3600 * 1000, 2 * lease)
  for i = 2, #KEYS do call('PEXPIRE', KEYS[i], long) end
end

-- A clock that was set back goes on from the last time that was seen.
local function tick()
  local time = call('TIME')
  local moment = time[1] * 1000 + floor(time[2] / 1000) + state.offset
  if moment < state.last then
    state.offset = state.offset + state.last - moment
    moment = state.last
  end
  state.last = moment
  return moment
end

read()
now = tick()

-- Where the epoch is gone, so are the leases that others still live on. Each of those ends,
-- or is renewed and so known again, within one lease time: nothing is granted until then.
local function found(open, lost)
  for i = 3, #KEYS do call('DEL', KEYS[i]) end
  local last, offset = state.last, state.offset
  for _, name in ipairs(FIELDS) do state[name] = 0 end
  state.last, state.offset = last, offset
  state.open, state.owe, state.began = open, lost and 1 or 0, -1
  state.number = now * 1000 -- above all numbers that were given out before
  alarmist = ''
end

local function opened()
  if not before.open then found(now + lease, true) end
end

-- -- names -------------------------------------------------------------------------------

local function parse(name)
  local number, granted, cost, key = string.match(name, '^(%d+)%.(%d+)%.(%d+):(.*)$')
  return tonumber(number), tonumber(granted), tonumber(cost), key
end

local function owner(key)
  return string.match(key, '^[^|]*')
end

-- -- meters ------------------------------------------------------------------------------

local requests = {name = 'requests', key = KEYS[9]}
local tokens = {name = 'tokens', key = KEYS[10]}

local function get(meter, what) return state[meter.name .. '.' .. what] end
local function set(meter, what, value) state[meter.name .. '.' .. what] = value end

local function slots(meter, from, to, visit)
  local at = from
  while at <= to do
    local page = {}
    for slot = at, min(to, at + 31) do page[#page + 1] = slot end
    local values = call('HMGET', meter.key, unpack(page))
    for i, slot in ipairs(page) do
      if values[i] then
        local held, peak = string.match(values[i], '^(%d+) (%d+)$')
        if visit(slot, tonumber(held), tonumber(peak)) then return end
      end
    end
    at = at + 32
  end
end

local function store(meter, slot, held, peak)
  call('HSET', meter.key, slot, exact(held) .. ' ' .. exact(peak))
end

local function expire_meter(meter)
  local first, oldest = get(meter, 'first'), floor((now - MINUTE - MARGIN) / SLOT)
  if first == 0 or oldest <= first then return end
  if oldest - first > SLOTS then
    call('DEL', meter.key)
    set(meter, 'total', 0)
  else
    local gone, total = {}, get(meter, 'total')
    slots(meter, first, oldest - 1, function(slot, held)
      gone[#gone + 1] = slot
      total = total - held
    end)
    if #gone > 0 then call('HDEL', meter.key, unpack(gone)) end
    set(meter, 'total', total)
  end
  set(meter, 'first', oldest)
end

local function wait_for(meter, amount, quota)
  local total = get(meter, 'total')
  if total + min(amount, quota) > quota then
    local found_at
    slots(meter, get(meter, 'first'), floor(now / SLOT), function(slot, held)
      if held > 0 then found_at = slot end
      return held > 0
    end)
    if found_at then return (found_at + 1) * SLOT + MINUTE + MARGIN - now, false end
  end
  local due = get(meter, 'due')
  if due > now + BURST then return max(BREATH, ceil(due - BURST - now)), true end
  return 0, false
end

local function count(meter, amount)
  local slot = floor(now / SLOT)
  if get(meter, 'first') == 0 then
    set(meter, 'first', floor((now - MINUTE - MARGIN) / SLOT))
  end
  local value = call('HGET', meter.key, slot)
  local held, peak = string.match(value or '0 0', '^(%d+) (%d+)$')
  local total = get(meter, 'total') + amount
  set(meter, 'total', total)
  store(meter, slot, held + amount, max(tonumber(peak), total))
end

local function charge(meter, amount, quota)
  count(meter, amount)
  set(meter, 'due', max(get(meter, 'due'), now) + amount * (MINUTE / (AHEAD * quota)))
end

local function correct(meter, when, change, quota)
  set(meter, 'due', get(meter, 'due') + change * (MINUTE / (AHEAD * quota)))
  local slot = floor(when / SLOT)
  local value = call('HGET', meter.key, slot)
  if not value then return end
  local held, peak = string.match(value, '^(%d+) (%d+)$')
  change = max(change, -held)
  store(meter, slot, held + change, tonumber(peak))
  set(meter, 'total', get(meter, 'total') + change)
end

local function foreign(meter, since, counted, quota)
  local total, oldest = get(meter, 'total'), floor(since / SLOT)
  if counted <= total or oldest < floor((now - MINUTE - MARGIN) / SLOT) then return 0 end
  local most = total
  slots(meter, oldest, floor(now / SLOT),
    function(_, _, peak) most = max(most, peak) end)
  local beyond = counted - most
  return beyond * 50 > quota and beyond or 0
end

-- -- hold --------------------------------------------------------------------------------

local function refuse(granted, number, retry_after)
  if granted > state.began then
    state.began = now
    state.strikes = min(state.strikes + 1, 30)
    local doubled = 2 ^ (state.strikes - 1)
    if retry_after < 0 then
      local pause = min(LONGEST, FIRST * doubled)
      retry_after = floor(pause * 3 / 4) + (number % 10007) * 7919 % floor(pause / 2)
    else
      retry_after = max(retry_after, min(LONGEST, LEAST * doubled))
    end
  end
  if retry_after >= 0 then
    state['until'] = max(state['until'], now + retry_after)
    state.returns = state['until']
  end
end

local function hold(meter) set(meter, 'due', max(get(meter, 'due'), state['until'] + BURST)) end

local function returning(concurrency)
  return concurrency and now < state['until'] + RETURN and state.began >= 0
end

local function wait_for_hold(concurrency)
  if now < state['until'] then return state['until'] - now end
  if returning(concurrency) then return max(0, ceil(state.returns - TOGETHER - now)) end
  return 0
end

-- -- line --------------------------------------------------------------------------------

local records, touched = {}, {}

local function record(key)
  if records[key] == nil then
    local packed = call('HGET', FLOWS, key)
    records[key] = packed and cmsgpack.unpack(packed) or false
  end
  return records[key]
end

local function touch(key) touched[key] = true end

local function save()
  local words = {}
  for key in pairs(touched) do
    words[#words + 1] = key
    words[#words + 1] = cmsgpack.pack(records[key])
    if #words >= 500 then
      call('HSET', FLOWS, unpack(words))
      words = {}
    end
  end
  if #words > 0 then call('HSET', FLOWS, unpack(words)) end
end

local function member(key, flow) return string.format('%012.0f:%s', flow.turn, key) end

local counts = {}

local function in_line(name)
  if not counts[name] then counts[name] = tonumber(call('HGET', COUNTS, name)) or 0 end
  return counts[name]
end

local function step(name, by)
  counts[name] = call('HINCRBY', COUNTS, name, by)
  if counts[name] <= 0 then call('HDEL', COUNTS, name) end
end

local function weight(flow) return flow.weight / max(1, in_line('t:' .. flow.tenant)) end

local function place(key, flow) call('ZADD', LINE, exact(flow.tag), member(key, flow)) end

local function enter(key, flow)
  call('ZREM', IDLE, key)
  flow.tag = max(flow.tag, state.virtual)
  place(key, flow)
  step('t:' .. flow.tenant, 1)
  step('h:' .. flow.holder, 1)
end

local function leave(key, flow)
  call('ZADD', IDLE, exact(now), key)
  call('ZREM', LINE, member(key, flow))
  step('t:' .. flow.tenant, -1)
  step('h:' .. flow.holder, -1)
end

local function first()
  local head = call('ZRANGE', LINE, 0, 0)[1]
  if not head then return nil end
  local key = string.sub(head, 14)
  local flow = record(key)
  if flow then return key, flow end
  call('ZREM', LINE, head)
  return first()
end

-- The costs of a flow's waiters are one text, as '12 34 56': read and cut without the others.
local function head(costs) return tonumber(string.match(costs, '^%d+')) end
local function cut(costs) return string.match(costs, '^%d+ ?(.*)$') or '' end

local function ask(flow_name, tenant, share, costs, channel)
  local key = holder .. '|' .. flow_name
  local flow = record(key)
  if not flow then
    if #costs == 0 then return end
    state.turn = state.turn + 1
    flow = {holder = holder, turn = state.turn, tag = 0, costs = ''}
    records[key] = flow
  end
  if #flow.costs > 0 then leave(key, flow) end
  flow.tenant = tenant ~= '' and tenant or key
  flow.weight, flow.costs, flow.channel = share, costs, channel
  if #costs > 0 then enter(key, flow) end
  touch(key)
end

local function serve(key, flow)
  local cost = head(flow.costs)
  flow.costs = cut(flow.costs)
  state.virtual = max(state.virtual, flow.tag)
  flow.tag = flow.tag + max(1, cost) / weight(flow)
  if #flow.costs > 0 then place(key, flow) else leave(key, flow) end
  touch(key)
  return cost
end

local function correct_flow(key, change)
  local flow = record(key)
  if not flow then return end
  flow.tag = flow.tag + change / weight(flow)
  if #flow.costs > 0 then place(key, flow) end
  touch(key)
end

local function drop(key, flow)
  flow.costs = ''
  leave(key, flow)
  touch(key)
end

-- -- leases ------------------------------------------------------------------------------

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
