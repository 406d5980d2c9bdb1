-- Look at the delayed messages that are due, without taking them.
--
-- KEYS[1] delayed sorted set {prefix}:delayed; score: Unix seconds when due
-- ARGV[1] limit   messages
-- Returns a list: the microseconds until the next one is due, or -1 where there is none; then the members.
--
-- A script, because the clock of the scores is the server's.
local delayed, limit = KEYS[1], tonumber(ARGV[1])

local time = redis.call('TIME')
local now = string.format('%.17g', time[1] + time[2] / 1000000)
local found = redis.call('ZRANGEBYSCORE', delayed, '-inf', now, 'LIMIT', 0, limit)
local next = redis.call('ZRANGE', delayed, #found, #found, 'WITHSCORES')
table.insert(found, 1, next[2] and math.max(0, math.ceil((next[2] - now) * 1000000)) or -1)
return found
