-- Delete a queue, with all its messages.
--
-- KEYS[1] queue sorted set {prefix}{channel}
-- Returns how many messages it held, with those that have expired.
--
-- Atomic, because no message may come or go between the count and the end.
local queue = KEYS[1]

local length = redis.call('ZCARD', queue)
redis.call('UNLINK', queue)
return length
