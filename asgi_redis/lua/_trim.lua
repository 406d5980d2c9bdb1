-- The clock of the server, and what drops expired messages. Needs the locals call and expiry.
redis.replicate_commands() -- Redis 5 and 6 refuse to write after TIME without it
local time = call('TIME')
local now = time[1] + time[2] / 1000000
local left_to_drop = 1048576 -- bytes in one script, 1 KiB added for each message, so that nobody waits for long

-- Drops expired messages of a queue, the oldest first; returns how many, and how many expired ones are left.
local function trim(queue)
    local expired, dropped = call('ZCOUNT', queue, '-inf', string.format('(%.17g', now - expiry)), 0
    if expired > 0 and expired == call('ZCARD', queue) then
        call('UNLINK', queue) -- takes no time, however many there are
        return expired, 0
    end
    while dropped < expired and left_to_drop > 0 do
        left_to_drop = left_to_drop - 1024 - #call('ZPOPMIN', queue)[1]
        dropped = dropped + 1
    end
    return dropped, expired - dropped
end
