-- Requests and tokens of the last minute, and their pace: paceline.admission.rate_window.

local requests = {name = 'requests', key = KEYS[9]}
local tokens = {name = 'tokens', key = KEYS[10]}

local function get(window, what) return state[window.name .. '.' .. what] end
local function set(window, what, value) state[window.name .. '.' .. what] = value end

local function each_slot(window, from, to, visit)
  local at = from
  while at <= to do
    local page = {}
    for slot = at, min(to, at + 31) do page[#page + 1] = slot end
    local values = call('HMGET', window.key, unpack(page))
    for i, slot in ipairs(page) do
      if values[i] then
        local used, peak = string.match(values[i], '^(%d+) (%d+)$')
        if visit(slot, tonumber(used), tonumber(peak)) then return end
      end
    end
    at = at + 32
  end
end

local function store_slot(window, slot, used, peak)
  call('HSET', window.key, slot, exact(used) .. ' ' .. exact(peak))
end

local function expire_window(window)
  local first, oldest = get(window, 'first'), floor((now - MINUTE - MARGIN) / SLOT)
  if first == 0 or oldest <= first then return end
  if oldest - first > SLOTS then
    call('DEL', window.key)
    set(window, 'total', 0)
  else
    local expired, total = {}, get(window, 'total')
    each_slot(window, first, oldest - 1, function(slot, used)
      expired[#expired + 1] = slot
      total = total - used
    end)
    if #expired > 0 then call('HDEL', window.key, unpack(expired)) end
    set(window, 'total', total)
  end
  set(window, 'first', oldest)
end

local function window_wait(window, amount, quota)
  local total = get(window, 'total')
  if total + min(amount, quota) > quota then
    local first
    each_slot(window, get(window, 'first'), floor(now / SLOT), function(slot, used)
      if used > 0 then first = slot end
      return used > 0
    end)
    if first then return (first + 1) * SLOT + MINUTE + MARGIN - now, false end
  end
  local arrival = get(window, 'next')
  if arrival > now + BURST then return max(MIN_WAIT, ceil(arrival - BURST - now)), true end
  return 0, false
end

local function count(window, amount)
  local slot = floor(now / SLOT)
  if get(window, 'first') == 0 then
    set(window, 'first', floor((now - MINUTE - MARGIN) / SLOT))
  end
  local value = call('HGET', window.key, slot)
  local used, peak = string.match(value or '0 0', '^(%d+) (%d+)$')
  local total = get(window, 'total') + amount
  set(window, 'total', total)
  store_slot(window, slot, used + amount, max(tonumber(peak), total))
end

local function charge(window, amount, quota)
  count(window, amount)
  set(window, 'next', max(get(window, 'next'), now) + amount * (MINUTE / (PACE_FACTOR * quota)))
end

local function correct(window, when, change, quota)
  set(window, 'next', get(window, 'next') + change * (MINUTE / (PACE_FACTOR * quota)))
  local slot = floor(when / SLOT)
  local value = call('HGET', window.key, slot)
  if not value then return end
  local used, peak = string.match(value, '^(%d+) (%d+)$')
  change = max(change, -used)
  store_slot(window, slot, used + change, tonumber(peak))
  set(window, 'total', get(window, 'total') + change)
end

local function pause_window(window)
  set(window, 'next', max(get(window, 'next'), state.pause_until + BURST))
end

local function used_by_others(window, since, counted, quota)
  local total, oldest = get(window, 'total'), floor(since / SLOT)
  if counted <= total or oldest < floor((now - MINUTE - MARGIN) / SLOT) then return 0 end
  local highest = total
  each_slot(window, oldest, floor(now / SLOT),
    function(_, _, peak) highest = max(highest, peak) end)
  local others = counted - highest
  return others * 50 > quota and others or 0
end
