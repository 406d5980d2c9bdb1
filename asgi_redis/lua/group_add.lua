-- Add a channel to a group, or renew its membership.
--
-- KEYS[1] group        sorted set {prefix}:group:{group}; score: Unix seconds of the last addition
-- ARGV[1] channel      full channel name
-- ARGV[2] group_expiry seconds, may be a fraction
-- Returns 1.
--
-- Atomic, because the key must never exist without a TTL.
local group, channel, group_expiry = KEYS[1], ARGV[1], tonumber(ARGV[2])

redis.replicate_commands() -- Redis 5 and 6 refuse to write after TIME without it
local time = redis.call('TIME')
redis.call('ZADD', group, time[1] + time[2] / 1000000, channel)
redis.call('PEXPIRE', group, math.ceil(group_expiry * 1000))
return 1
