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
-- only when nothing comes between reading the clock and the push. Numbers go to Redis as strings that are made
-- once: the conversion of each costs as much as a small command.
local queue, channel_counters, global_counters = KEYS[1], KEYS[2], KEYS[3]
local capacity, expiry, ttl, channel_ttl, global_ttl = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local count_full, member = ARGV[6], ARGV[7]
local call = redis.call

redis.replicate_commands() -- Redis 5 and 6 refuse to write after TIME without it
local time = call('TIME')
local now = time[1] + time[2] / 1000000
local score = string.format('%.17g', now)
local length = call('ZCARD', queue)
if length >= capacity then
    length = length - call('ZREMRANGEBYSCORE', queue, '-inf', string.format('(%.17g', now - expiry))
end
local counter = count_full == '1' and 'channel_full_count'
if length < capacity then
    -- The clock may stand still or go back: a message never sorts before one that was sent earlier.
    if length > 0 and call('ZCOUNT', queue, score, '+inf') > 0 then
        score = string.format('%.17g', call('ZREVRANGE', queue, 0, 0, 'WITHSCORES')[2] + 0.000001)
    end
    call('ZADD', queue, score, member)
    call('PEXPIRE', queue, ttl)
    counter = 'messages_count'
end
-- Renewing a TTL costs as much as counting: where the queue fills up, and so messages come often, one in 16 is.
if counter then
    if call('HINCRBY', channel_counters, counter, '1') % 16 == 1 or length == 0 then
        call('EXPIRE', channel_counters, channel_ttl)
    end
    if call('HINCRBY', global_counters, counter, '1') % 16 == 1 or length == 0 then
        call('EXPIRE', global_counters, global_ttl)
    end
end
return counter == 'messages_count' and 1 or 0
