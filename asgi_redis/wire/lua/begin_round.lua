-- Begin a round that renews the memberships of a process.
--
-- KEYS[1] ledger     hash {prefix}:joined:{client}: which joins these data contain, those after base up to last
-- ARGV[1] number     of the process's last join
-- ARGV[2] round      number of the round
-- ARGV[3] ledger_ttl milliseconds, less than the lease of a membership
-- Returns 1.
--
-- Atomic, because the key must never exist without a TTL.
local ledger, number, round, ledger_ttl = KEYS[1], ARGV[1], ARGV[2], ARGV[3]

if redis.call('HSETNX', ledger, 'base', number) == 1 then
    redis.call('HSET', ledger, 'last', number)
    redis.call('PEXPIRE', ledger, ledger_ttl)
end
redis.call('HSET', ledger, 'round', round)
return 1
