-- The board of one limit: sums that every holder adds to, and the conclusion drawn from them.
--
-- KEYS: 1 board  hash: serial, state, since (ms), and a sum under "+" and its name
-- ARGV: 1 operation, 2 seconds that an unused board is kept, then
--       note      name, amount, name, amount, …
--       conclude  serial, state

local BOARD = KEYS[1]
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))

if ARGV[1] == 'conclude' then
  local serial = redis.call('HGET', BOARD, 'serial') or '0'
  if serial ~= ARGV[3] then return '0' end
  redis.call('DEL', BOARD)
  redis.call('HSET', BOARD, 'serial', serial + 1, 'state', ARGV[4], 'since', now)
  redis.call('EXPIRE', BOARD, ARGV[2])
  return '1'
end

redis.call('HSETNX', BOARD, 'since', now)
for i = 3, #ARGV, 2 do
  redis.call('HINCRBYFLOAT', BOARD, '+' .. ARGV[i], ARGV[i + 1])
end
redis.call('EXPIRE', BOARD, ARGV[2])

local found = { '0', '', now, now }
local all = redis.call('HGETALL', BOARD)
for i = 1, #all, 2 do
  local name, value = all[i], all[i + 1]
  if name == 'serial' then found[1] = value
  elseif name == 'state' then found[2] = value
  elseif name == 'since' then found[3] = value
  else
    found[#found + 1] = string.sub(name, 2)
    found[#found + 1] = value
  end
end
return found
