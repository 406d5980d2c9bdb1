-- Look at the first delayed messages that wait for room in a queue; where there are none, forget the queue.
--
-- KEYS[1] waiting        sorted set {prefix}:waiting:{queue}; score: Unix seconds when they were due
-- KEYS[2] waiting_queues sorted set {prefix}:waiting, names of queues
-- ARGV[1] name           that of the queue
-- ARGV[2] limit          messages
-- ARGV[3] margin         seconds that messages past their time stay
-- Returns a list of the members, each with its score.
--
-- Atomic, because a queue that messages wait for must never be forgotten, and TTLs are renewed together.
local waiting, waiting_queues = KEYS[1], KEYS[2]
local name, limit, margin = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local call = redis.call
-- include _list

local found = list(waiting, math.huge, limit)
if found[1] then
    call('EXPIRE', waiting, margin)
    call('EXPIRE', waiting_queues, margin)
else
    call('ZREM', waiting_queues, name)
end
return found
