-- Put one message at the end of many channels' queues, leaving out the full ones.
--
-- KEYS[1..n]      queues           sorted sets {prefix}{channel}; score: Unix seconds
-- KEYS[n+1..2n]   counters         hashes, the counters of each channel, in the same order
-- KEYS[2n+1]      global_counters  hash, the counters of this shard
-- ARGV[1]         expiry           seconds, may be a fraction
-- ARGV[2]         ttl              milliseconds that a queue outlives its last message, no less than expiry
-- ARGV[3]         channel_ttl      seconds that a channel's counters live on after a renewal
-- ARGV[4]         global_ttl       seconds, likewise
-- ARGV[5]         count_full       '1' to count refusals, '0' where other shards will be tried
-- ARGV[6]         head             bytes that all the members start with
-- ARGV[7..n+6]    tails            bytes that complete the member of each queue
-- ARGV[n+7..]     capacities       messages, of each queue; the last one also for all that follow
-- Returns the positions, from 1, of the queues that were full; for one that is no sorted set, a list of its position
-- and the error.
--
-- Atomic for each queue, for the reasons in send.lua; one script for many, so that the head crosses the network once.
local expiry, ttl, channel_ttl, global_ttl, count_full, head = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local n = math.floor((#KEYS - 1) / 2)
local global_counters = KEYS[2 * n + 1]
local call, pcall, type = redis.call, redis.pcall, type
-- include _start_push
-- include _send_group
