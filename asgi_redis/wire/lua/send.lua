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
local call, pcall, type = redis.call, redis.pcall, type
local head, tail = member, ''
-- include _start_push

-- include _push
-- include _account
return refused or length and 1 or 0
