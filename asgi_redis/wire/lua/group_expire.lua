-- Remove members of a group whose membership has expired, the oldest first.
--
-- KEYS[1] group        sorted set {prefix}:group:{group}; score: Unix seconds of the last addition
-- ARGV[1] group_expiry seconds, may be a fraction
-- ARGV[2] limit        members
-- Returns how many expired ones are left.
--
-- A script, because the clock of the scores is the server's.
local group, group_expiry, limit = KEYS[1], ARGV[1], tonumber(ARGV[2])
local call = redis.call

-- include _clock
local oldest = string.format('(%.17g', now - group_expiry)
local expired = call('ZCOUNT', group, '-inf', oldest)
if expired > 0 then
    local removed = math.min(expired, limit)
    call('ZREMRANGEBYRANK', group, '0', string.format('%.0f', removed - 1))
    expired = expired - removed
end
return expired
