-- Keep one message until it is due.
--
-- KEYS[1] delayed sorted set {prefix}:delayed; score: Unix seconds when due
-- ARGV[1] member  bytes
-- ARGV[2] delay   seconds until it is due, may be a fraction
-- ARGV[3] margin  seconds that the set outlives its last due time
-- Returns 1.
--
-- Atomic, because the clock is the server's, and the set must never exist without a TTL.
local delayed, member, delay, margin = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

redis.replicate_commands() -- Redis 5 and 6 refuse to write after TIME without it
local time = redis.call('TIME')
local due = string.format('%.17g', time[1] + time[2] / 1000000 + delay)
local ttl = string.format('%.0f', math.max(math.ceil((delay + margin) * 1000), redis.call('PTTL', delayed)))
redis.call('PEXPIRE', delayed, ttl) -- an error, if one there is, comes before anything is stored
redis.call('ZADD', delayed, due, member)
redis.call('PEXPIRE', delayed, ttl)
return 1
