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
local call = redis.call

-- include _clock
local due = string.format('%.17g', now + delay)
local ttl = string.format('%.0f', math.max(math.ceil((delay + margin) * 1000), call('PTTL', delayed)))
call('PEXPIRE', delayed, ttl) -- an error comes before anything is stored
call('ZADD', delayed, due, member)
call('PEXPIRE', delayed, ttl)
return 1
