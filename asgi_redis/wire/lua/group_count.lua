-- Count the members of a group whose membership has not expired.
--
-- KEYS[1] group        sorted set {prefix}:group:{group}; score: Unix seconds of the last addition
-- ARGV[1] group_expiry seconds, may be a fraction
-- Returns the number of members.
--
-- A script, because the clock of the scores is the server's. It writes nothing.
local group, group_expiry = KEYS[1], ARGV[1]
local call = redis.call

-- include _clock
return call('ZCOUNT', group, string.format('%.17g', now - group_expiry), '+inf')
