-- Return the events that a subscriber missed.
--
-- KEYS: as for publishing. ARGV: 1 epoch and 2 offset of the last event that the subscriber saw
-- (epoch 0: none yet, -1: its position is invalid), 3 entries to return at most.
-- Answers {1 if the position is lost, else 0; epoch; offset of the newest event; entries}. If the
-- position is lost, the entries begin with the oldest.

local state = redis.call('HMGET', KEYS[2], 'epoch', 'offset')
local epoch, offset = tonumber(state[1]) or 0, tonumber(state[2]) or 0
local seen_epoch, seen_offset = tonumber(ARGV[1]), tonumber(ARGV[2])
local lost = seen_epoch ~= 0 and (seen_epoch ~= epoch or seen_offset > offset)
local from = '-'
if seen_epoch ~= 0 and not lost then from = '(' .. ARGV[1] .. '-' .. ARGV[2] end
local entries = {}
if epoch > 0 then entries = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', ARGV[3]) end
return {lost and 1 or 0, epoch, offset, entries}
