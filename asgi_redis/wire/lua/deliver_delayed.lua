-- Take one delayed message, and put it at the end of its channel's queue; where that is full, leave it.
--
-- KEYS[1] source           sorted set that it is in: {prefix}:delayed, or the next one
-- KEYS[2] waiting          sorted set {prefix}:waiting:{queue}, delayed messages that wait for room in the queue
-- KEYS[3] queue            sorted set {prefix}{channel}; score: Unix seconds
-- KEYS[4] channel_counters hash, the counters of the channel
-- KEYS[5] global_counters  hash, the counters of this shard
-- ARGV[1] capacity         messages
-- ARGV[2] expiry           seconds, may be a fraction
-- ARGV[3] ttl              milliseconds that the queue outlives its last message, no less than expiry
-- ARGV[4] channel_ttl      seconds that the channel's counters live on
-- ARGV[5] global_ttl       seconds, likewise
-- ARGV[6] entry            bytes, the member of the source
-- ARGV[7] member           bytes, the member of the queue
-- Returns 1 when it was delivered, 0 when the queue is full or others wait before it, 2 when it is not there any more.
--
-- Atomic, so that it is always in one of the sets, and never in two.
local source, waiting, queue, channel_counters, global_counters = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local capacity, expiry, ttl, channel_ttl, global_ttl = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local entry, member = ARGV[6], ARGV[7]
local call, pcall, type = redis.call, redis.pcall, type

if not call('ZSCORE', source, entry) then
    return 2
end
if source ~= waiting and call('EXISTS', waiting) == 1 then
    return 0
end
local head, tail, count_full = member, '', '1'
-- include _start_push

-- include _push
if length then
    call('ZREM', source, entry)
end
-- include _account
return refused or length and 1 or 0
