-- Puts head and a tail at the end of each of n queues, and returns the positions of those that were left out. Needs the
-- locals call, pcall, type, n, expiry, ttl, channel_ttl, global_ttl, count_full, head, global_counters and those of
-- _start_push; the other keys and arguments are in the places of send_group.lua.
local left_out, refusals, all_expired, last = {}, 0, 0, nil
for i = 1, n do
    local queue, counters, tail, capacity = KEYS[i], KEYS[n + i], ARGV[6 + i], tonumber(ARGV[6 + n + i]) or last
    last = capacity
    local counters_ttl = channel_ttl
    -- include _push
    if length or (count_full == '1' and not refused) then
        local counter, number, renew = length and 'messages_count' or 'channel_full_count', '1', length == 0
        -- include _count
    end
    if refused then
        left_out[#left_out + 1] = {i, refused.err}
        refusals = refusals + 1
    elseif not length then
        left_out[#left_out + 1] = i
    end
    if dropped > 0 then
        local counter, number, renew = 'messages_expired', string.format('%.0f', dropped), true
        -- include _count
        all_expired = all_expired + dropped
    end
end
local full = count_full == '1' and #left_out - refusals or 0
local counters, counters_ttl, renew = global_counters, global_ttl, true
for counter, count in pairs({messages_count = n - #left_out, channel_full_count = full, messages_expired = all_expired}) do
    if count > 0 then
        local number = string.format('%.0f', count)
        -- include _count
    end
end
return left_out
