-- The shared counters of one limit: sums that every holder adds to, and the last decision.
--
-- KEYS: 1 counters  hash: version, state, since (ms), and each sum under "+" and its name
-- ARGV: 1 operation, 2 seconds after which unused counters are deleted, then
--       add_counts       name, amount, name, amount, …
--       commit_decision  version, state

local COUNTERS = KEYS[1]
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))

if ARGV[1] == 'commit_decision' then
  local version = redis.call('HGET', COUNTERS, 'version') or '0'
  if version ~= ARGV[3] then return '0' end
  redis.call('DEL', COUNTERS)
  redis.call('HSET', COUNTERS, 'version', version + 1, 'state', ARGV[4], 'since', now)
  redis.call('EXPIRE', COUNTERS, ARGV[2])
  return '1'
end

redis.call('HSETNX', COUNTERS, 'since', now)
for i = 3, #ARGV, 2 do
  redis.call('HINCRBYFLOAT', COUNTERS, '+' .. ARGV[i], ARGV[i + 1])
end
redis.call('EXPIRE', COUNTERS, ARGV[2])

local answer = { '0', '', now, now }
local all = redis.call('HGETALL', COUNTERS)
for i = 1, #all, 2 do
  local name, value = all[i], all[i + 1]
  if name == 'version' then answer[1] = value
  elseif name == 'state' then answer[2] = value
  elseif name == 'since' then answer[3] = value
  else
    answer[#answer + 1] = string.sub(name, 2)
    answer[#answer + 1] = value
  end
end
return answer
