-- Delete a queue, with all its messages.
--
-- KEYS[1] queue  sorted set {prefix}{channel}; score: Unix seconds
-- ARGV[1] expiry seconds, may be a fraction
-- Returns how many messages it held that had not expired.
--
-- Atomic, because no message may come or go between the count and the end.
local queue, expiry = KEYS[1], ARGV[1]
local call = redis.call

-- include _clock
local number = call('ZCOUNT', queue, string.format('%.17g', now - expiry), '+inf')
call('UNLINK', queue)
return number
