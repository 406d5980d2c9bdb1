-- End a round that has renewed all the memberships of a process, unless the data were lost meanwhile.
--
-- KEYS[1] ledger     hash {prefix}:joined:{client}: which joins these data contain, those after base up to last
-- ARGV[1] number     of the process's last join when the round began
-- ARGV[2] round      number of the round
-- ARGV[3] ledger_ttl milliseconds, less than the lease of a membership
-- Returns 1, or 0 when data were lost since the round began.
--
-- Atomic, because it must change only what it has looked at.
local ledger, number, round, ledger_ttl = KEYS[1], tonumber(ARGV[1]), ARGV[2], ARGV[3]

if redis.call('HGET', ledger, 'round') ~= round then
    return 0
end
if tonumber(redis.call('HGET', ledger, 'last')) < number then
    redis.call('HSET', ledger, 'last', number)
end
redis.call('HSET', ledger, 'base', 0)
redis.call('PEXPIRE', ledger, ledger_ttl)
return 1
