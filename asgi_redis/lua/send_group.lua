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
-- Atomic for each queue, and fast, for the reasons in send.lua; one script for many, so that the head crosses the
-- network once.
local expiry, ttl, channel_ttl, global_ttl, count_full, head = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local n = (#KEYS - 1) / 2
local global_counters = KEYS[2 * n + 1]
local call, pcall = redis.call, redis.pcall

redis.replicate_commands() -- Redis 5 and 6 refuse to write after TIME without it
local time = call('TIME')
local now = time[1] + time[2] / 1000000
local score_now = string.format('%.17g', now)
local left_out, refused = {}, 0
for i = 1, n do
    local queue, channel_counters, capacity, tail = KEYS[i], KEYS[n + i], tonumber(ARGV[6 + i]), ARGV[6 + n + i]
    local length = pcall('ZCARD', queue)
    local is_queue = type(length) == 'number'
    if is_queue and length >= capacity then
        length = length - call('ZREMRANGEBYSCORE', queue, '-inf', string.format('(%.17g', now - expiry))
    end
    if not is_queue then
        left_out[#left_out + 1] = {i, length.err}
        refused = refused + 1
    elseif length < capacity then
        local score = score_now
        if length > 0 and call('ZCOUNT', queue, score, '+inf') > 0 then
            score = string.format('%.17g', call('ZREVRANGE', queue, 0, 0, 'WITHSCORES')[2] + 0.000001)
        end
        call('ZADD', queue, score, head .. tail)
        call('PEXPIRE', queue, ttl)
        if call('HINCRBY', channel_counters, 'messages_count', '1') % 16 == 1 or length == 0 then
            call('EXPIRE', channel_counters, channel_ttl) -- not always, as in send.lua
        end
    else
        left_out[#left_out + 1] = i
        if count_full == '1' then
            call('HINCRBY', channel_counters, 'channel_full_count', '1')
            call('EXPIRE', channel_counters, channel_ttl)
        end
    end
end
call('HINCRBY', global_counters, 'messages_count', n - #left_out)
call('HINCRBY', global_counters, 'channel_full_count', (#left_out - refused) * count_full)
call('EXPIRE', global_counters, global_ttl)
return left_out
