-- Remove the members of a group whose membership has expired.
--
-- KEYS[1] group        sorted set {prefix}:group:{group}; score: Unix seconds of the last addition
-- ARGV[1] group_expiry seconds, may be a fraction
-- Returns how many were removed.
--
-- A script, because the clock of the scores is the server's.
local group, group_expiry = KEYS[1], tonumber(ARGV[1])

redis.replicate_commands() -- Redis 5 and 6 refuse to write after TIME without it
local time = redis.call('TIME')
local oldest = time[1] + time[2] / 1000000 - group_expiry
return redis.call('ZREMRANGEBYSCORE', group, '-inf', string.format('(%.17g', oldest))
