-- Keep one message until it is due, or put one off.
--
-- KEYS[1] delayed sorted set {prefix}:delayed; score: Unix seconds when due
-- ARGV[1] member  bytes
-- ARGV[2] delay   seconds until it is due, may be a fraction
-- ARGV[3] margin  seconds that the set outlives its last due time
-- ARGV[4] again   '1' to put off one that is kept, '0' for a new one
-- Returns 1; 0 when one that was to be put off is not kept any more.
--
-- Atomic, because the clock is the server's, and the set must never exist without a TTL.
local delayed, member, delay, margin, again = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]

if again == '1' and not redis.call('ZSCORE', delayed, member) then
    return 0
end
redis.replicate_commands() -- Redis 5 and 6 refuse to write after TIME without it
local time = redis.call('TIME')
redis.call('ZADD', delayed, string.format('%.17g', time[1] + time[2] / 1000000 + delay), member)
local ttl = math.ceil((delay + margin) * 1000)
if redis.call('PTTL', delayed) < ttl then
    redis.call('PEXPIRE', delayed, string.format('%.0f', ttl))
end
return 1
