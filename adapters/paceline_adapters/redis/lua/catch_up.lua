-- What a subscriber missed.
--
-- KEYS: as for publishing. ARGV: 1 epoch and 2 offset of the last event it saw (epoch 0: it
-- saw none, -1: it does not know), 3 entries to return at most.
-- Answers {its position is lost (1 or 0), epoch, offset of the newest, entries}; where its
-- position is lost, the entries begin with the oldest.

local state = redis.call('HMGET', KEYS[2], 'epoch', 'offset')
local epoch, offset = tonumber(state[1]) or 0, tonumber(state[2]) or 0
local seen, at = tonumber(ARGV[1]), tonumber(ARGV[2])
local lost = seen ~= 0 and (seen ~= epoch or at > offset)
local from = '-'
if seen ~= 0 and not lost then from = '(' .. ARGV[1] .. '-' .. ARGV[2] end
local entries = {}
if epoch > 0 then entries = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', ARGV[3]) end
return {lost and 1 or 0, epoch, offset, entries}
