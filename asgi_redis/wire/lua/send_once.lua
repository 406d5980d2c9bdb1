-- Put one message at the end of a channel's queue, unless the queue is full, and note that for a sender who asks again.
--
-- KEYS[1] sent             string, the number of the last message of this sender
-- KEYS[2] queue            sorted set {prefix}{channel}; score: Unix seconds
-- KEYS[3] channel_counters hash, the counters of the channel
-- KEYS[4] global_counters  hash, the counters of this shard
-- ARGV[1] capacity         messages
-- ARGV[2] expiry           seconds, may be a fraction
-- ARGV[3] ttl              milliseconds that the queue and the note outlive the message, no less than expiry
-- ARGV[4] channel_ttl      seconds that the channel's counters live on after a renewal
-- ARGV[5] global_ttl       seconds, likewise
-- ARGV[6] count_full       '1' to count a refusal, '0' where another shard will be tried
-- ARGV[7] number           of the message; those of a sender rise
-- ARGV[8] member           bytes
-- Returns 1 when the message was sent, now or before, 0 when the queue is full.
--
-- Atomic, as send is; and the note is right only when it is made with the push. It is looked at each time: a request on
-- a line that was given up may arrive after its repetition.
local sent, queue, channel_counters, global_counters = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local capacity, expiry, ttl, channel_ttl, global_ttl = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local count_full, number, member = ARGV[6], ARGV[7], ARGV[8]
local call, pcall, type = redis.call, redis.pcall, type
if tonumber(call('GET', sent) or -1) >= tonumber(number) then
    return 1
end
local head, tail = member, ''
-- include _start_push

-- include _push
-- include _account
if length then
    call('SET', sent, number, 'PX', ttl)
end
return refused or length and 1 or 0
