-- Take one delayed message, and put it at the end of its channel's queue; where that is full, put it off.
--
-- KEYS[1] delayed          sorted set {prefix}:delayed; score: Unix seconds when due
-- KEYS[2] queue            sorted set {prefix}{channel}; score: Unix seconds
-- KEYS[3] channel_counters hash, the counters of the channel
-- KEYS[4] global_counters  hash, the counters of this shard
-- ARGV[1] capacity         messages
-- ARGV[2] expiry           seconds, may be a fraction
-- ARGV[3] ttl              milliseconds that the queue outlives its last message, no less than expiry
-- ARGV[4] channel_ttl      seconds that the channel's counters live on
-- ARGV[5] global_ttl       seconds, likewise
-- ARGV[6] margin           seconds that the delayed set outlives its last due time
-- ARGV[7] retry            seconds to put it off
-- ARGV[8] kept             bytes, the member of the delayed set
-- ARGV[9] member           bytes, the member of the queue
-- Returns 1 when it was delivered, 0 when the queue is full, 2 when somebody else has taken it.
--
-- Atomic, so that it is always in one of the two sets, and never in both.
local delayed, queue, channel_counters, global_counters = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local capacity, expiry, ttl, channel_ttl, global_ttl = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local margin, retry, kept, member = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8], ARGV[9]
local call = redis.call

if not call('ZSCORE', delayed, kept) then
    return 2
end
redis.replicate_commands() -- Redis 5 and 6 refuse to write after TIME without it
local time = call('TIME')
local now = time[1] + time[2] / 1000000
call('ZREMRANGEBYSCORE', queue, '-inf', string.format('(%.17g', now - expiry))
local length = call('ZCARD', queue)
local fits = length < capacity
if fits then
    -- Not before one that was sent earlier, see send.lua.
    local last = call('ZREVRANGE', queue, 0, 0, 'WITHSCORES')[2]
    local score = last and tonumber(last) >= now and last + 0.000001 or now
    call('ZADD', queue, string.format('%.17g', score), member)
    call('PEXPIRE', queue, ttl)
    call('ZREM', delayed, kept)
else
    call('ZADD', delayed, string.format('%.17g', now + retry), kept)
    if call('PTTL', delayed) < margin * 1000 then
        call('EXPIRE', delayed, margin)
    end
end
local counter = fits and 'messages_count' or 'channel_full_count'
call('HINCRBY', channel_counters, counter, '1')
call('EXPIRE', channel_counters, channel_ttl)
call('HINCRBY', global_counters, counter, '1')
call('EXPIRE', global_counters, global_ttl)
return fits and 1 or 0
