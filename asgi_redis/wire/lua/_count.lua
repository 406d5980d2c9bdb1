-- Adds number to counter, a field of counters. A key of another type in their place costs no message. Renewing a TTL
-- costs as much as counting: without renew, which is for what goes up by one, every 16th does it, the first among
-- them. Needs the locals pcall, counters, counters_ttl, counter, number and renew.
local counted = pcall('HINCRBY', counters, counter, number)
if type(counted) == 'number' and (renew or counted % 16 == 1) then
    pcall('EXPIRE', counters, counters_ttl)
end
