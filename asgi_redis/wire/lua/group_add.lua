-- Add a channel to a group, or renew its membership.
--
-- KEYS[1] group   sorted set {prefix}:group:{group}; score: Unix seconds of the last addition
-- ARGV[1] channel full channel name
-- ARGV[2] ttl     milliseconds that the group outlives its last addition
-- Returns 1.
--
-- Atomic, because the key must never exist without a TTL.
local group, channel, ttl = KEYS[1], ARGV[1], ARGV[2]
local call = redis.call

-- include _clock
call('PEXPIRE', group, ttl) -- an error comes before anything is stored
call('ZADD', group, string.format('%.17g', now), channel)
call('PEXPIRE', group, ttl)
return 1
