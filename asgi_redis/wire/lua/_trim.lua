-- Drops expired messages of queue, the oldest first: sets dropped to their number, and left to that of the expired
-- messages that are still there. Needs the locals call, queue, now, expiry and to_trim, the bytes to drop at most in
-- this script, with 1 KiB added for each message, so that no other client waits for long.
local expired = call('ZCOUNT', queue, '-inf', string.format('(%.17g', now - expiry))
if expired > 0 and expired == call('ZCARD', queue) then
    call('UNLINK', queue) -- takes no time, however many there are
    dropped = expired
else
    while dropped < expired and to_trim > 0 do
        to_trim = to_trim - 1024 - #call('ZPOPMIN', queue)[1]
        dropped = dropped + 1
    end
end
left = expired - dropped
