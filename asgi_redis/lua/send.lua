-- Put one message at the end of a channel's queue, unless the queue is full.
--
-- KEYS[1] queue            sorted set {prefix}{channel}; score: Unix seconds
-- KEYS[2] channel_counters hash, the counters of the channel
-- KEYS[3] global_counters  hash, the counters of this shard
-- ARGV[1] capacity         messages
-- ARGV[2] expiry           seconds, may be a fraction
-- ARGV[3] ttl              milliseconds that the queue outlives its last message, no less than expiry
-- ARGV[4] channel_ttl      seconds that the channel's counters live on after a renewal
-- ARGV[5] global_ttl       seconds, likewise
-- ARGV[6] count_full       '1' to count a refusal, '0' where another shard will be tried
-- ARGV[7] member           bytes
-- Returns 1 when the message was sent, 0 when the queue is full.
--
-- Atomic, because capacity is exact only when nothing comes between the count and the push, and the order is exact
-- only when nothing comes between reading the clock and the push.
local queue, channel_counters, global_counters = KEYS[1], KEYS[2], KEYS[3]
local capacity, expiry, ttl, channel_ttl, global_ttl = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local count_full, member = ARGV[6], ARGV[7]
local call, pcall = redis.call, redis.pcall
-- include _trim
-- include _push
-- include _count

local length, dropped, refusal = push(queue, capacity, member, '')
if dropped > 0 then
    count(channel_counters, 'messages_expired', string.format('%.0f', dropped), channel_ttl, true)
    count(global_counters, 'messages_expired', string.format('%.0f', dropped), global_ttl, true)
end
if refusal then
    return refusal
end
if length or count_full == '1' then
    local counter = length and 'messages_count' or 'channel_full_count'
    -- Where the queue fills up, and so messages come often, TTLs are not renewed each time.
    count(channel_counters, counter, '1', channel_ttl, length == 0)
    count(global_counters, counter, '1', global_ttl, length == 0)
end
return length and 1 or 0
