-- Take the oldest messages off several queues, one from each in turn, leaving out the expired ones.
--
-- KEYS[1..n] queues sorted sets {prefix}{channel}; score: Unix seconds
-- ARGV[1]    expiry seconds, may be a fraction
-- ARGV[2]    limit  messages
-- ARGV[3]    size   bytes, 1 KiB added for each message: with so many no more are taken
-- ARGV[4..]  most   messages of each queue, in the order of KEYS; without them, limit
-- Returns the number of messages; for each of them the queue, the member, its age in microseconds, and its score;
-- then for each queue with expired messages the queue, and how many were dropped.
--
-- Atomic, so that no other reader gets what was taken, and expiry is exact: the clock is that of the scores.
local expiry, limit, size = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local call = redis.call
-- include _trim

local reply, expired, left = {0}, {}, {}
for i, queue in ipairs(KEYS) do
    local most = ARGV[3 + i]
    left[queue] = tonumber(most or limit)
end
-- Takes the next message of a queue that has expired ones; popped is the first of those.
local function take_behind_expired(queue)
    local dropped, still_there = trim(queue)
    expired[queue] = (expired[queue] or 0) + 1 + dropped
    if still_there == 0 then
        return call('ZPOPMIN', queue)
    end
    local oldest = string.format('%.17g', now - expiry)
    local found = call('ZRANGEBYSCORE', queue, oldest, '+inf', 'WITHSCORES', 'LIMIT', '0', '1')
    call('ZREM', queue, found[1])
    return found
end
local function finished()
    for queue, number in pairs(expired) do
        reply[#reply + 1] = queue
        reply[#reply + 1] = number
    end
    return reply
end
local queues = KEYS
repeat
    local filled = {}
    for _, queue in ipairs(queues) do
        if reply[1] >= limit or (size <= 0 and reply[1] > 0) then
            return finished()
        end
        local popped = redis.pcall('ZPOPMIN', queue)
        if popped.err then
            -- A key of another kind. What was taken before it must reach the reader all the same.
            return reply[1] > 0 and finished() or popped
        end
        if popped[1] and tonumber(popped[2]) < now - expiry then
            popped = take_behind_expired(queue)
        end
        if popped[1] then
            reply[1] = reply[1] + 1
            reply[#reply + 1] = queue
            reply[#reply + 1] = popped[1]
            reply[#reply + 1] = math.floor((now - popped[2]) * 1000000)
            reply[#reply + 1] = popped[2]
            size = size - 1024 - #popped[1]
            left[queue] = left[queue] - 1
            if left[queue] > 0 then
                filled[#filled + 1] = queue
            end
        end
    end
    queues = filled
until #queues == 0
return finished()
