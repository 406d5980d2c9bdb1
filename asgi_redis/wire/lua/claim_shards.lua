-- Write down the number of shards of a layer, unless that is known.
--
-- KEYS[1] shards string {prefix}:shards, the number of shards
-- ARGV[1] number shards that the caller has
-- ARGV[2] ttl    milliseconds that the key lives on
-- Returns the number that is known.
--
-- Atomic, so that of two processes that start at once with different numbers one is told.
local shards = KEYS[1]
local number, ttl = ARGV[1], ARGV[2]
local known = redis.call('GET', shards) or number
if known == number then
    redis.call('PEXPIRE', shards, ttl) -- a write that needs no memory: after it Redis refuses none for want of memory
    redis.call('SET', shards, number, 'PX', ttl)
end
return known
