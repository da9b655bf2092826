-- Append events of one run to its stream.
--
-- KEYS: 1 the stream; an entry's id is "epoch-offset"
--       2 hash: epoch, offset, fence, ended (1 after the terminal event), nonce
-- ARGV: 1 entries to retain, 2 ms to retain them after the last one, 3 nonce; then per event
--       its kind ("snapshot", "terminal" or "progress"), its fence, its JSON text.

local STREAM, STATE = KEYS[1], KEYS[2]
local state = redis.call('HMGET', STATE, 'epoch', 'offset', 'fence', 'ended', 'nonce')
local epoch, offset = tonumber(state[1]) or 0, tonumber(state[2]) or 0
local fence, ended = tonumber(state[3]) or 0, state[4] == '1'
if state[5] == ARGV[3] then return 0 end -- a retry: the events were appended, only the answer was lost

local appended = 0
for i = 4, #ARGV, 3 do
  local kind, claim = ARGV[i], tonumber(ARGV[i + 1])
  local reopens = ended and kind == 'snapshot' and claim > fence
  if claim >= fence and (reopens or not ended) then
    if reopens or offset == 0 then
      -- A stream contains one epoch. The epoch is the time, so that it rises even after a flush.
      -- It is in microseconds, because a flush and a restart may share one millisecond.
      redis.call('DEL', STREAM)
      local time = redis.call('TIME')
      epoch = math.max(epoch + 1, time[1] * 1000000 + time[2])
      offset = 0
    end
    offset, fence, ended = offset + 1, claim, kind == 'terminal'
    local id = string.format('%.0f-%.0f', epoch, offset)
    redis.call('XADD', STREAM, 'MAXLEN', '~', ARGV[1], id, 'event', ARGV[i + 2])
    appended = appended + 1
  end
end

if appended > 0 then
  redis.call('HSET', STATE, 'epoch', epoch, 'offset', offset, 'fence', fence,
    'ended', ended and 1 or 0, 'nonce', ARGV[3])
  redis.call('PEXPIRE', STREAM, ARGV[2])
  redis.call('PEXPIRE', STATE, ARGV[2])
end
return appended
