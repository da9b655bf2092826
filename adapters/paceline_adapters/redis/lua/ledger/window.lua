-- Requests and tokens of the minute, and their pace: paceline.admission.rate_window.

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
