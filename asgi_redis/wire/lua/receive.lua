-- Take the oldest messages off several queues, one from each in turn, leaving out the expired ones.
--
-- KEYS[1..n] queues sorted sets {prefix}{channel}; score: Unix seconds
-- ARGV[1]    expiry seconds, may be a fraction
-- ARGV[2]    limit  messages
-- ARGV[3..]  quotas messages of each queue, in the order of KEYS; one is for all, none stands for limit
-- Returns the number of messages; for each of them the queue, the member, its age in microseconds, and its score;
-- then for each queue with expired messages the queue, and how many were dropped.
--
-- Atomic, so that no other reader gets what was taken, and expiry is exact: the clock is that of the scores.
local expiry, limit = ARGV[1], tonumber(ARGV[2])
local call = redis.call
-- include _clock

-- At most so many bytes are taken, and dropped, with 1 KiB added for each message: other clients wait meanwhile.
local size, to_trim = 1048576, 1048576
local reply, expired_ones, to_take = {0}, nil, {}
for i, queue in ipairs(KEYS) do
    local quota = ARGV[2 + math.min(i, #ARGV - 2)] -- limit where there are none
    to_take[queue] = tonumber(quota)
end
local refused
local queues = KEYS
repeat
    local filled = {}
    for _, queue in ipairs(queues) do
        if reply[1] >= limit or (size <= 0 and reply[1] > 0) then
            filled = {}
            break
        end
        local popped = redis.pcall('ZPOPMIN', queue)
        if popped.err then
            -- A key of another kind. What was taken before it must reach the reader all the same.
            filled, refused = {}, popped
            break
        end
        if popped[1] and tonumber(popped[2]) < now - expiry then
            local dropped, left = 0
            -- include _trim
            expired_ones = expired_ones or {}
            expired_ones[queue] = (expired_ones[queue] or 0) + 1 + dropped
            if left == 0 then
                popped = call('ZPOPMIN', queue)
            else
                local oldest = string.format('%.17g', now - expiry)
                popped = call('ZRANGEBYSCORE', queue, oldest, '+inf', 'WITHSCORES', 'LIMIT', '0', '1')
                call('ZREM', queue, popped[1])
            end
        end
        if popped[1] then
            local position = #reply
            reply[1] = reply[1] + 1
            reply[position + 1] = queue
            reply[position + 2] = popped[1]
            reply[position + 3] = math.floor((now - popped[2]) * 1000000)
            reply[position + 4] = popped[2]
            size = size - 1024 - #popped[1]
            to_take[queue] = to_take[queue] - 1
            if to_take[queue] > 0 then
                filled[#filled + 1] = queue
            end
        end
    end
    queues = filled
until #queues == 0
if refused and reply[1] == 0 then
    return refused
end
if expired_ones then
    for queue, number in pairs(expired_ones) do
        reply[#reply + 1] = queue
        reply[#reply + 1] = number
    end
end
return reply
