-- Who is next: paceline.admission.fair_queue.

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
