-- Put one message at the end of many channels' queues, leaving out the full ones.
--
-- KEYS[1..n]      queues           sorted sets {prefix}{channel}; score: Unix seconds
-- KEYS[n+1..2n]   channel_counters hashes, the counters of each channel, in the same order
-- KEYS[2n+1]      global_counters  hash, the counters of this shard
-- ARGV[1]         expiry           seconds, may be a fraction
-- ARGV[2]         channel_ttl      seconds that a channel's counters outlive their last change
-- ARGV[3]         global_ttl       seconds, likewise
-- ARGV[4]         head             bytes that all the members start with
-- ARGV[5..n+4]    capacities       messages, of each queue
-- ARGV[n+5..2n+4] tails            bytes that complete the member of each queue
-- Returns the positions, from 1, of the queues that were full.
--
-- Atomic for each queue, as in send.lua; one script for many, so that the head crosses the network once.
local expiry, channel_ttl, global_ttl, head = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local n = (#KEYS - 1) / 2
local global_counters = KEYS[2 * n + 1]

redis.replicate_commands() -- Redis 5 and 6 refuse to write after TIME without it
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local ttl = math.ceil(expiry * 1000)
local full = {}
for i = 1, n do
    local queue, channel_counters, capacity, tail = KEYS[i], KEYS[n + i], tonumber(ARGV[4 + i]), ARGV[4 + n + i]
    local length = redis.call('ZCARD', queue)
    if length >= capacity then
        length = length - redis.call('ZREMRANGEBYSCORE', queue, '-inf', string.format('(%.17g', now - expiry))
    end
    if length < capacity then
        local score = now
        if length > 0 and redis.call('ZCOUNT', queue, now, '+inf') > 0 then
            score = redis.call('ZREVRANGE', queue, 0, 0, 'WITHSCORES')[2] + 0.000001
        end
        redis.call('ZADD', queue, score, head .. tail)
        redis.call('PEXPIRE', queue, ttl)
        redis.call('HINCRBY', channel_counters, 'messages_count', 1)
    else
        full[#full + 1] = i
        redis.call('HINCRBY', channel_counters, 'channel_full_count', 1)
    end
    redis.call('EXPIRE', channel_counters, channel_ttl)
end
redis.call('HINCRBY', global_counters, 'messages_count', n - #full)
redis.call('HINCRBY', global_counters, 'channel_full_count', #full)
redis.call('EXPIRE', global_counters, global_ttl)
return full
