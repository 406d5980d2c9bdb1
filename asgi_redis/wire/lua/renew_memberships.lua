-- Renew memberships, and put back the ones lost with the data.
--
-- KEYS[1]         ledger       hash {prefix}:joined:{client}: which joins these data contain
-- KEYS[2..n+1]    groups       sorted sets {prefix}:group:{group}, one for each membership
-- ARGV[1]         group_expiry seconds, may be a fraction
-- ARGV[2]         lease        seconds until a membership expires unless it is renewed again
-- ARGV[3..n+2]    channels     full channel name of each membership
-- ARGV[n+3..2n+2] numbers      of the join of each membership
-- Returns the positions, from 1, of memberships that other processes have removed: their joins are in the data.
--
-- Atomic, because data that are lost in between would look like memberships that were removed.
local ledger, group_expiry, lease = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local n = #KEYS - 1
local call = redis.call

-- include _clock
local score = string.format('%.17g', now - group_expiry + lease)
local ttl = math.ceil(group_expiry * 1000)
local contained = call('HMGET', ledger, 'base', 'last')
local base, last = tonumber(contained[1] or math.huge), tonumber(contained[2] or 0)
local removed, renewed = {}, nil
for i = 1, n do
    local group, channel, number = KEYS[1 + i], ARGV[2 + i], tonumber(ARGV[2 + n + i])
    local found = redis.pcall('ZSCORE', group, channel)
    if type(found) ~= 'table' then -- an error: it is no group, but a key of another type
        if found or number <= base or number > last then
            call('ZADD', group, score, channel)
            if group ~= renewed then
                call('PEXPIRE', group, ttl)
                renewed = group
            end
        else
            removed[#removed + 1] = i
        end
    end
end
return removed
