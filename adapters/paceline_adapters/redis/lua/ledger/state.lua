-- The ledger of one limit. Everything happens here, on the server's clock, in one step.
-- This file and those beside it are one script: state, window, hold, line, leases, operations.
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

local function parse(name)
  local number, granted, cost, key = string.match(name, '^(%d+)%.(%d+)%.(%d+):(.*)$')
  return tonumber(number), tonumber(granted), tonumber(cost), key
end

local function owner(key)
  return string.match(key, '^[^|]*')
end
