-- Add a channel of a process that renews its memberships to a group.
--
-- KEYS[1] group        sorted set {prefix}:group:{group}; score: Unix seconds of the addition, back-dated
-- KEYS[2] ledger       hash {prefix}:joined:{client}: which joins these data contain, those after base up to last
-- ARGV[1] channel      full channel name
-- ARGV[2] group_expiry seconds, may be a fraction
-- ARGV[3] lease        seconds until the membership expires unless it is renewed, no more than group_expiry
-- ARGV[4] number       of this join, one more than that of the process's last one
-- ARGV[5] ledger_ttl   milliseconds, less than lease
-- Returns 1.
--
-- Atomic, because data that contain the number must contain the membership, on a replica, too.
local group, ledger, channel, number, ledger_ttl = KEYS[1], KEYS[2], ARGV[1], ARGV[4], ARGV[5]
local group_expiry, lease = tonumber(ARGV[2]), tonumber(ARGV[3])
local call = redis.call

-- include _clock
call('ZADD', group, string.format('%.17g', now - group_expiry + lease), channel)
call('PEXPIRE', group, math.ceil(group_expiry * 1000))
if call('HSETNX', ledger, 'base', number - 1) == 1 then
    call('PEXPIRE', ledger, ledger_ttl)
end
call('HSET', ledger, 'last', number)
return 1
