-- The order in which flows are served: paceline.admission.fair_queue.

local records, changed_flows = {}, {}

local function record(key)
  if records[key] == nil then
    local packed = call('HGET', FLOWS, key)
    records[key] = packed and cmsgpack.unpack(packed) or false
    -- An earlier version wrote no points.
    if records[key] and not records[key].points then records[key].points = 16 end
  end
  return records[key]
end

local function mark_changed(key) changed_flows[key] = true end

local function write_flows()
  local words = {}
  for key in pairs(changed_flows) do
    words[#words + 1] = key
    words[#words + 1] = cmsgpack.pack(records[key])
    if #words >= 500 then
      call('HSET', FLOWS, unpack(words))
      words = {}
    end
  end
  if #words > 0 then call('HSET', FLOWS, unpack(words)) end
end

local function member(key, flow) return string.format('%012.0f:%s', flow.number, key) end

local counts = {}

local function waiting_flows(name)
  if not counts[name] then counts[name] = tonumber(call('HGET', COUNTS, name)) or 0 end
  return counts[name]
end

local function change_count(name, by)
  counts[name] = call('HINCRBY', COUNTS, name, by)
  if counts[name] <= 0 then call('HDEL', COUNTS, name) end
end

local function has_waiters(who) return waiting_flows('h:' .. who) > 0 end

local function weight(flow)
  return flow.weight * flow.points / max(flow.points, waiting_flows('t:' .. flow.tenant))
end

local function insert(key, flow) call('ZADD', QUEUE, exact(flow.tag), member(key, flow)) end

local function enter(key, flow)
  call('ZREM', IDLE, key)
  flow.tag = max(flow.tag, state.virtual_time)
  insert(key, flow)
  change_count('t:' .. flow.tenant, flow.points)
  change_count('h:' .. flow.holder, 1)
end

local function leave(key, flow)
  call('ZADD', IDLE, exact(now), key)
  call('ZREM', QUEUE, member(key, flow))
  change_count('t:' .. flow.tenant, -flow.points)
  change_count('h:' .. flow.holder, -1)
end

local function first_flow()
  local entry = call('ZRANGE', QUEUE, 0, 0)[1]
  if not entry then return nil end
  local key = string.sub(entry, 14)
  local flow = record(key)
  if flow then return key, flow end
  call('ZREM', QUEUE, entry)
  return first_flow()
end

-- The costs of a flow's waiters are one text such as '12 34 56', so that the first can be read and
-- removed without parsing the rest.
local function first_cost(costs) return tonumber(string.match(costs, '^%d+')) end
local function other_costs(costs) return string.match(costs, '^%d+ ?(.*)$') or '' end

local function update_flow(flow_name, tenant, tenant_weight, costs, points, channel)
  local key = holder .. '|' .. flow_name
  local flow = record(key)
  if not flow then
    if #costs == 0 then return end
    state.flow_number = state.flow_number + 1
    flow = {holder = holder, number = state.flow_number, tag = 0, costs = ''}
    records[key] = flow
  end
  if #flow.costs > 0 then leave(key, flow) end
  flow.tenant = tenant ~= '' and tenant or key
  flow.weight, flow.costs, flow.channel = tenant_weight, costs, channel
  flow.points = points
  if #costs > 0 then enter(key, flow) end
  mark_changed(key)
end

local function serve(key, flow)
  local cost = first_cost(flow.costs)
  flow.costs = other_costs(flow.costs)
  state.virtual_time = max(state.virtual_time, flow.tag)
  flow.tag = flow.tag + max(1, cost) / weight(flow)
  if #flow.costs > 0 then insert(key, flow) else leave(key, flow) end
  mark_changed(key)
  return cost
end

local function correct_flow(key, change)
  local flow = record(key)
  if not flow then return end
  flow.tag = flow.tag + change / weight(flow)
  if #flow.costs > 0 then insert(key, flow) end
  mark_changed(key)
end

local function drop(key, flow)
  flow.costs = ''
  leave(key, flow)
  mark_changed(key)
end
