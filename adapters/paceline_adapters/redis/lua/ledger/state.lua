-- The ledger of one limit. Each operation is one atomic step, on the server's clock.
-- This file and those beside it form one script, in this order: state, rate_window,
-- refusal_pause, fair_queue, leases, operations.
--
-- The arithmetic is that of paceline.admission (LeaseTable, FairQueue, RateWindow, RefusalPause),
-- step by step in the same order, so that both give the same results. The reasons are explained
-- there and not repeated here. Only this script has: a clock that never goes backwards, the epoch
-- of a server that may lose its data, and the check whether a process is reachable.
--
-- KEYS: 1 epoch     hash: all single values (see FIELDS)
--       2 leases    sorted set: lease → when it expires
--       3 queue     sorted set: waiting flows, by tag and then by number
--       4 flows     hash: flow → its record, packed
--       5 idle      sorted set: flow → since when it has no waiters
--       6 counts    hash: points of the waiting flows of a tenant (t:), number of those of a
--                   holder (h:)
--       7 alive     sorted set: holder → when it counts as dead
--       8 pending   hash: holder → leases that it has not confirmed, packed
--       9 requests  hash: slot → "amount peak"
--      10 tokens    hash: slot → "amount peak"
-- ARGV: 1 operation, 2 holder, 3 lease time, 4 confirmation time, then the arguments of the
-- operation. Times are ms. The name of a lease is "number.granted.cost:holder|flow".

local EPOCH, LEASES, QUEUE, FLOWS, IDLE, COUNTS, ALIVE, PENDING = unpack(KEYS)
local operation, holder, lease, confirm = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

local MINUTE, SLOT, MARGIN, PACE_FACTOR, BURST, MIN_WAIT = 60000, 500, 500, 1.05, 1500, 250
local FIRST_PAUSE, LONGEST_PAUSE, SHORTEST_PAUSE = 1000, 60000, 20
local RESTART, RESTART_BURST = 5000, 100
local LATE, BACKUP, IDLE_TIME = 250, 1000, 60000
local EXPIRY_INTERVAL = 60000 -- the keys' expiry is extended this often
local MAX_AMOUNT = 1000000000
local MONTH = 30 * 24 * 3600 * 1000
local BATCH = 1000 -- entries that one operation removes at most
local SLOTS = (MINUTE + MARGIN) / SLOT + 8 -- more than the window ever contains

local floor, ceil, max, min = math.floor, math.ceil, math.max, math.min
local call = redis.call

local FIELDS = {
  'open_at',                     -- from when on leases may be granted
  'minute_unknown',              -- 1: the use in the minute before the epoch is not known
  'last_time', 'clock_offset',   -- the clock: its last time, and what it adds to the server's
  'lease_number', 'flow_number', -- of the last lease and the last new flow
  'virtual_time',                -- of the fair queue
  'pause_until', 'pause_began', 'bursts', 'next_start', -- the refusal pause
  'requests.total', 'requests.first', 'requests.next', 'requests.quota',
  'tokens.total', 'tokens.first', 'tokens.next', 'tokens.quota',
  'limit.version', 'limit.concurrency', -- the newest quota that any holder brought, or -1
  'limit.requests', 'limit.tokens', 'limit.follow',
  'next_sync',                   -- when the responsible holder syncs
  'expiry_set',                  -- when the keys' expiry was last extended
}
local state, before = {}, {}
local responsible -- the holder that syncs next, for all
local now         -- the time

local function exact(number)
  if number == floor(number) and math.abs(number) < 1e15 then
    return string.format('%.0f', number)
  end
  return string.format('%.17g', number)
end

local function read_state()
  local values = call('HMGET', EPOCH, 'responsible', unpack(FIELDS))
  responsible = values[1] or ''
  before.responsible = responsible
  for i, name in ipairs(FIELDS) do
    before[name] = values[i + 1]
    state[name] = tonumber(values[i + 1]) or 0
  end
end

local function write_state()
  -- Also when the limit becomes idle, so that its keys live as long as they should.
  local extend = now - state.expiry_set >= EXPIRY_INTERVAL or call('EXISTS', LEASES) == 0
  if extend then state.expiry_set = now end
  local changed = {}
  for _, name in ipairs(FIELDS) do
    local text = exact(state[name])
    if text ~= before[name] then
      changed[#changed + 1] = name
      changed[#changed + 1] = text
    end
  end
  if responsible ~= before.responsible then
    changed[#changed + 1] = 'responsible'
    changed[#changed + 1] = responsible
  end
  if #changed > 0 then call('HSET', EPOCH, unpack(changed)) end
  if not extend then return end
  call('PEXPIRE', EPOCH, MONTH)
  local long = max(3600 * 1000, 2 * lease)
  for i = 2, #KEYS do call('PEXPIRE', KEYS[i], long) end
end

-- If the server's clock was set back, time continues from the last known time.
local function tick()
  local time = call('TIME')
  local moment = time[1] * 1000 + floor(time[2] / 1000) + state.clock_offset
  if moment < state.last_time then
    state.clock_offset = state.clock_offset + state.last_time - moment
    moment = state.last_time
  end
  state.last_time = moment
  return moment
end

read_state()
now = tick()

-- Begin an epoch. If an earlier epoch was lost, processes may still use its leases. Within one
-- lease time each of these expires, or is renewed and so registered again. Until then nothing is
-- granted.
local function begin_epoch(open_at, lost)
  for i = 3, #KEYS do call('DEL', KEYS[i]) end
  local last_time, clock_offset = state.last_time, state.clock_offset
  for _, name in ipairs(FIELDS) do state[name] = 0 end
  state.last_time, state.clock_offset = last_time, clock_offset
  state.open_at, state.minute_unknown, state.pause_began = open_at, lost and 1 or 0, -1
  state.lease_number = now * 1000 -- higher than all numbers of earlier epochs
  responsible = ''
end

local function ensure_epoch()
  if not before.open_at then begin_epoch(now + lease, true) end
end

local function parse(name)
  local number, granted, cost, key = string.match(name, '^(%d+)%.(%d+)%.(%d+):(.*)$')
  return tonumber(number), tonumber(granted), tonumber(cost), key
end

local function holder_of(key)
  return string.match(key, '^[^|]*')
end
