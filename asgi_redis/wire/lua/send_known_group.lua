-- Send to the members of a group, as the script send_group does, unless the members have changed.
--
-- KEYS[1..n]      queues           sorted sets {prefix}{channel}; score: Unix seconds
-- KEYS[n+1..2n]   counters         hashes, the counters of each channel, in the same order
-- KEYS[2n+1]      global_counters  hash, the counters of this shard
-- KEYS[2n+2]      group            sorted set {prefix}:group:{group}; score: Unix seconds of the last addition
-- ARGV[1]         expiry           seconds, may be a fraction
-- ARGV[2]         ttl              milliseconds that a queue outlives its last message, no less than expiry
-- ARGV[3]         channel_ttl      seconds that a channel's counters live on after a renewal
-- ARGV[4]         global_ttl       seconds, likewise
-- ARGV[5]         count_full       '1' to count refusals
-- ARGV[6]         head             bytes that all the members of queues start with
-- ARGV[7..n+6]    tails            bytes that complete the member of each queue
-- ARGV[n+7..2n+6] capacities       messages, of each queue
-- ARGV[2n+7]      names            full channel names of all members of the group, oldest first, a line each
-- ARGV[2n+8]      number           of these names
-- ARGV[2n+9]      group_expiry     seconds, may be a fraction
-- Returns what send_group.lua returns; 0 where the group has other members, or one of them has expired.
--
-- Atomic, as send_group.lua; and because a group may not change between the look at its members and the send.
local expiry, ttl, channel_ttl, global_ttl, count_full, head = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local n = math.floor((#KEYS - 1) / 2)
local global_counters, group = KEYS[2 * n + 1], KEYS[2 * n + 2]
local names, number, group_expiry = ARGV[2 * n + 7], ARGV[2 * n + 8], ARGV[2 * n + 9]
local call, pcall, type = redis.call, redis.pcall, type
-- include _start_push

local current = pcall('ZCOUNT', group, string.format('%.17g', now - group_expiry), '+inf')
if current ~= tonumber(number) or table.concat(call('ZRANGE', group, '0', number), '\n') ~= names then
    return 0
end
-- include _send_group
