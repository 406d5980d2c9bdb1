-- Add to the counters of channels, and of all channels together.
--
-- KEYS[1..n]   counters    hashes; the last one is that of this shard
-- ARGV[1]      channel_ttl seconds that a channel's counters live on
-- ARGV[2]      global_ttl  seconds, likewise
-- ARGV[3,6..]  place       of the hash in KEYS
-- ARGV[4,7..]  counter     field of the hash
-- ARGV[5,8..]  number      messages
-- Returns 1.
--
-- A script, because a key of another type in the place of counters must cost nothing, and none must be without a TTL.
local channel_ttl, global_ttl = ARGV[1], ARGV[2]
local pcall, renew = redis.pcall, true

for i = 3, #ARGV, 3 do
    local place, counter, number = tonumber(ARGV[i]), ARGV[i + 1], ARGV[i + 2]
    local counters, counters_ttl = KEYS[place], place < #KEYS and channel_ttl or global_ttl
    -- include _count
end
return 1
