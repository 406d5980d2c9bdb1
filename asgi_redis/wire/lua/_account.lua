-- Counts what _push has done. Needs the locals pcall, channel_counters, channel_ttl, global_counters, global_ttl and
-- count_full, '1' where a refusal counts.
if dropped > 0 then
    local counter, number, renew = 'messages_expired', string.format('%.0f', dropped), true
    local counters, counters_ttl = channel_counters, channel_ttl
    -- include _count
    counters, counters_ttl = global_counters, global_ttl
    -- include _count
end
if not refused and (length or count_full == '1') then
    -- Where the queue fills up, and so messages come often, TTLs are not renewed each time.
    local counter, number, renew = length and 'messages_count' or 'channel_full_count', '1', length == 0
    local counters, counters_ttl = channel_counters, channel_ttl
    -- include _count
    counters, counters_ttl = global_counters, global_ttl
    -- include _count
end
