-- Let delayed messages that are due wait for room in their queue.
--
-- KEYS[1]      delayed        sorted set {prefix}:delayed, that they are in
-- KEYS[2]      waiting        sorted set {prefix}:waiting:{queue}; score: Unix seconds when they were due
-- KEYS[3]      waiting_queues sorted set {prefix}:waiting, names of queues; score: Unix seconds of the next try
-- ARGV[1]      name           that of the queue
-- ARGV[2]      retry          seconds until the next try
-- ARGV[3]      margin         seconds that messages past their time stay
-- ARGV[4]      taken          '1' when they were taken out of all sets before, '0' to move them
-- ARGV[5,7..]  entries        bytes, the members of the delayed set
-- ARGV[6,8..]  due            Unix seconds
-- Returns 1 when they are the first that wait there, else 0.
--
-- Atomic, so that each is always in one of the two sets, and none exists without a TTL.
local delayed, waiting, waiting_queues = KEYS[1], KEYS[2], KEYS[3]
local name, retry, margin, taken = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local call = redis.call

-- include _clock
local next_try = string.format('%.17g', now + retry)
-- What may fail comes before anything is changed; and first a write that needs no memory: after it Redis refuses none.
call('ZCARD', waiting)
call('ZCARD', waiting_queues)
local is_first = 0
for i = 5, #ARGV, 2 do
    local entry, due = ARGV[i], ARGV[i + 1]
    if call('ZREM', delayed, entry) == 1 or taken == '1' then
        call('ZADD', waiting, due, entry)
        call('EXPIRE', waiting, margin)
        is_first = math.max(is_first, call('ZADD', waiting_queues, 'NX', next_try, name))
        call('EXPIRE', waiting_queues, margin)
    end
end
return is_first
