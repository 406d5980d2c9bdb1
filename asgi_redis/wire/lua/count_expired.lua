-- Count messages that a reader has found expired.
--
-- KEYS[1..n]     counters        hashes, the counters of each channel
-- KEYS[n+1]      global_counters hash, the counters of this shard
-- ARGV[1]        channel_ttl     seconds that a channel's counters live on
-- ARGV[2]        global_ttl      seconds, likewise
-- ARGV[3..n+2]   number          messages of each channel
-- Returns 1.
--
-- A script, because a key of another type in the place of counters must cost nothing, and none must be without a TTL.
local channel_ttl, global_ttl = ARGV[1], ARGV[2]
local n = #KEYS - 1
local global_counters = KEYS[n + 1]
local pcall, counter, renew = redis.pcall, 'messages_expired', true

for i = 1, n do
    local counters, number, counters_ttl = KEYS[i], ARGV[2 + i], channel_ttl
    do
        -- include _count
    end
    counters, counters_ttl = global_counters, global_ttl
    -- include _count
end
return 1
