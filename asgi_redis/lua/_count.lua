-- What counts. Needs the local pcall: a key of another type in the place of counters costs no message.
-- Renewing a TTL costs as much as counting: without renew, which is for a counter that goes up by one, every 16th
-- does it, the first among them.
local function count(counters, counter, number, ttl, renew)
    local counted = pcall('HINCRBY', counters, counter, number)
    if type(counted) == 'number' and (renew or counted % 16 == 1) then
        pcall('EXPIRE', counters, ttl)
    end
end
