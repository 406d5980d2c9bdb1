-- Put one message at the end of many channels' queues, leaving out the full ones.
--
-- KEYS[1..n]      queues           sorted sets {prefix}{channel}; score: Unix seconds
-- KEYS[n+1..2n]   channel_counters hashes, the counters of each channel, in the same order
-- KEYS[2n+1]      global_counters  hash, the counters of this shard
-- ARGV[1]         expiry           seconds, may be a fraction
-- ARGV[2]         ttl              milliseconds that a queue outlives its last message, no less than expiry
-- ARGV[3]         channel_ttl      seconds that a channel's counters live on after a renewal
-- ARGV[4]         global_ttl       seconds, likewise
-- ARGV[5]         count_full       '1' to count refusals, '0' where other shards will be tried
-- ARGV[6]         head             bytes that all the members start with
-- ARGV[7..n+6]    capacities       messages, of each queue
-- ARGV[n+7..2n+6] tails            bytes that complete the member of each queue
-- Returns the positions, from 1, of the queues that were full; for one that is no sorted set, a list of its position
-- and the error.
--
-- Atomic for each queue, for the reasons in send.lua; one script for many, so that the head crosses the network once.
local expiry, ttl, channel_ttl, global_ttl, count_full, head = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local n = math.floor((#KEYS - 1) / 2)
local global_counters = KEYS[2 * n + 1]
local call, pcall = redis.call, redis.pcall
-- include _trim
-- include _push
-- include _count

local left_out, refused, expired = {}, 0, 0
for i = 1, n do
    local queue, channel_counters, capacity, tail = KEYS[i], KEYS[n + i], tonumber(ARGV[6 + i]), ARGV[6 + n + i]
    local length, dropped, refusal = push(queue, capacity, head, tail)
    if dropped > 0 then
        count(channel_counters, 'messages_expired', string.format('%.0f', dropped), channel_ttl, true)
        expired = expired + dropped
    end
    if length then
        count(channel_counters, 'messages_count', '1', channel_ttl, length == 0)
    elseif refusal then
        left_out[#left_out + 1] = {i, refusal.err}
        refused = refused + 1
    else
        left_out[#left_out + 1] = i
        if count_full == '1' then
            count(channel_counters, 'channel_full_count', '1', channel_ttl, true)
        end
    end
end
local full = count_full == '1' and #left_out - refused or 0
count(global_counters, 'messages_count', string.format('%.0f', n - #left_out), global_ttl, true)
count(global_counters, 'channel_full_count', string.format('%.0f', full), global_ttl, true)
if expired > 0 then
    count(global_counters, 'messages_expired', string.format('%.0f', expired), global_ttl, true)
end
return left_out
