-- Put one message at the end of a channel's queue, unless the queue is full.
--
-- KEYS[1] queue            sorted set {prefix}{channel}; score: Unix seconds
-- KEYS[2] channel_counters hash, the counters of the channel
-- KEYS[3] global_counters  hash, the counters of this shard
-- ARGV[1] capacity         messages
-- ARGV[2] expiry           seconds, may be a fraction
-- ARGV[3] channel_ttl      seconds that the channel's counters outlive their last change
-- ARGV[4] global_ttl       seconds, likewise
-- ARGV[5] member           bytes
-- Returns 1 when the message was sent, 0 when the queue is full.
--
-- Atomic, because capacity is exact only when nothing comes between the count and the push, and the order is exact
-- only when nothing comes between reading the clock and the push.
local queue, channel_counters, global_counters = KEYS[1], KEYS[2], KEYS[3]
local capacity, expiry, channel_ttl, global_ttl = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
local member = ARGV[5]

redis.replicate_commands() -- Redis 5 and 6 refuse to write after TIME without it
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local length = redis.call('ZCARD', queue)
if length >= capacity then
    length = length - redis.call('ZREMRANGEBYSCORE', queue, '-inf', string.format('(%.17g', now - expiry))
end
local sent = length < capacity
if sent then
    -- The clock may stand still or go back: a message never sorts before one that was sent earlier.
    if length > 0 and redis.call('ZCOUNT', queue, now, '+inf') > 0 then
        now = redis.call('ZREVRANGE', queue, 0, 0, 'WITHSCORES')[2] + 0.000001
    end
    redis.call('ZADD', queue, now, member)
    redis.call('PEXPIRE', queue, math.ceil(expiry * 1000))
end
local counter = sent and 'messages_count' or 'channel_full_count'
redis.call('HINCRBY', channel_counters, counter, 1)
redis.call('EXPIRE', channel_counters, channel_ttl)
redis.call('HINCRBY', global_counters, counter, 1)
redis.call('EXPIRE', global_counters, global_ttl)
return sent and 1 or 0
