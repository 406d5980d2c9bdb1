-- Put a message that was taken, but not handed out, back in its place in the queue.
--
-- KEYS[1] queue  sorted set {prefix}{channel}
-- ARGV[1] member bytes
-- ARGV[2] score  Unix seconds, as it was when the message was taken
-- ARGV[3] ttl    milliseconds that the queue outlives its last message
-- Returns 1.
--
-- Atomic, because taking the last message has removed the key and its TTL: it must never exist without one.
local queue, member, score, ttl = KEYS[1], ARGV[1], ARGV[2], ARGV[3]

redis.call('PEXPIRE', queue, ttl) -- an error comes before anything is stored
redis.call('ZREM', queue, member) -- a write that needs no memory: after it Redis refuses none for want of memory
redis.call('ZADD', queue, score, member)
redis.call('PEXPIRE', queue, ttl)
return 1
