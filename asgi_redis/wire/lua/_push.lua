-- Puts head .. tail at the end of queue: exactly within capacity, in the order of sending, and with a TTL. Sets length
-- to the number of messages before it, or nil where it was not put there; dropped to the number of expired messages
-- that it has dropped; and refused to the error, if there was one, such as for a key of another type. Needs the locals
-- call, pcall, type, queue, capacity, head, tail, expiry, ttl, and those of _start_push.
local length, dropped, refused = pcall('ZCARD', queue), 0, nil
if type(length) ~= 'number' then
    length, refused = nil, length
elseif length >= capacity then
    local left
    -- include _trim
    length = length - dropped - left
    length = length < capacity and length or nil
end
if length then
    -- The clock may stand still or go back: a message never sorts before one that was sent earlier.
    local score, member = now, head .. tail
    if length > 0 and call('ZCOUNT', queue, score, '+inf') > 0 then
        score = string.format('%.17g', call('ZREVRANGE', queue, 0, 0, 'WITHSCORES')[2] + 0.000001)
    end
    call('ZADD', queue, score, member)
    local renewed = pcall('PEXPIRE', queue, ttl)
    if renewed ~= 1 then
        call('ZREM', queue, member) -- a key never exists without a TTL
        length, refused = nil, renewed
    end
end
