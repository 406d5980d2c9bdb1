-- Count what waits in a channel's queue, and read its counters.
--
-- KEYS[1] queue            sorted set {prefix}{channel}; score: Unix seconds
-- KEYS[2] channel_counters hash, the counters of the channel
-- ARGV[1] expiry           seconds, may be a fraction
-- Returns messages_pending, the age of the oldest message in microseconds, and the counters in the order of
-- asgi_redis.wire.message.COUNTERS.
--
-- A script, because the clock of the scores is the server's; expired messages do not count.
local queue, channel_counters, expiry = KEYS[1], KEYS[2], ARGV[1]
local call = redis.call

-- include _clock
local oldest = string.format('%.17g', now - expiry)
local pending = call('ZCOUNT', queue, oldest, '+inf')
local first = call('ZRANGEBYSCORE', queue, oldest, '+inf', 'WITHSCORES', 'LIMIT', '0', '1')
local age = first[2] and math.max(0, math.floor((now - first[2]) * 1000000)) or 0
local counters = call('HMGET', channel_counters, 'messages_count', 'channel_full_count', 'messages_expired',
    'messages_undecodable', 'messages_requeued', 'messages_retried')
local reply = {pending, age}
for i = 1, 6 do
    reply[2 + i] = tonumber(counters[i] or 0) or 0
end
return reply
