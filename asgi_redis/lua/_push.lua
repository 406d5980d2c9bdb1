-- What puts a message at the end of a queue: exactly within its capacity, in the order of sending, with a TTL. Needs
-- the locals call, pcall and ttl, and those of _trim. Numbers go to Redis as strings that are made once: the
-- conversion of each costs as much as a small command.
local score_now = string.format('%.17g', now)

-- Returns the number of messages before it, nil where the queue is full or refused; the number of expired ones that
-- were dropped; and the error where it was refused, such as for a key of another type. The member is head .. tail.
local function push(queue, capacity, head, tail)
    local length, dropped, score = pcall('ZCARD', queue), 0, score_now
    if type(length) ~= 'number' then
        return nil, 0, length
    end
    if length >= capacity then
        local left
        dropped, left = trim(queue)
        length = length - dropped - left
        if length >= capacity then
            return nil, dropped
        end
    end
    -- The clock may stand still or go back: a message never sorts before one that was sent earlier.
    if length > 0 and call('ZCOUNT', queue, score, '+inf') > 0 then
        score = string.format('%.17g', call('ZREVRANGE', queue, 0, 0, 'WITHSCORES')[2] + 0.000001)
    end
    local member = head .. tail
    call('ZADD', queue, score, member)
    local renewed = pcall('PEXPIRE', queue, ttl)
    if type(renewed) ~= 'number' then
        call('ZREM', queue, member) -- a key never exists without a TTL
        return nil, dropped, renewed
    end
    return length, dropped
end
