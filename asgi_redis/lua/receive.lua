-- Take the oldest messages off several queues, one from each in turn, leaving out the expired ones.
--
-- KEYS[1..n] queues sorted sets {prefix}{channel}; score: Unix seconds
-- ARGV[1]    expiry seconds, may be a fraction
-- ARGV[2]    limit  messages
-- ARGV[3..]  most   messages of each queue, in the order of KEYS; without them, limit
-- Returns a flat list: for each message the queue, the member, its age in microseconds, and its score.
--
-- Atomic, so that no other reader gets what was taken, and expiry is exact: the clock is that of the scores.
local expiry, limit = tonumber(ARGV[1]), tonumber(ARGV[2])

redis.replicate_commands() -- Redis 5 and 6 refuse to write after TIME without it
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local taken = {}
local left = {}
for i, queue in ipairs(KEYS) do
    local most = ARGV[2 + i]
    left[queue] = tonumber(most or limit)
end
local queues = KEYS
repeat
    local filled = {}
    for _, queue in ipairs(queues) do
        if #taken >= 4 * limit then
            return taken
        end
        local popped = redis.pcall('ZPOPMIN', queue)
        if popped.err then
            -- A key of another kind. What was taken before it must reach the reader all the same.
            return #taken > 0 and taken or popped
        end
        if popped[1] and tonumber(popped[2]) < now - expiry then
            redis.call('ZREMRANGEBYSCORE', queue, '-inf', string.format('(%.17g', now - expiry))
            popped = redis.call('ZPOPMIN', queue)
        end
        if popped[1] then
            taken[#taken + 1] = queue
            taken[#taken + 1] = popped[1]
            taken[#taken + 1] = math.floor((now - popped[2]) * 1000000)
            taken[#taken + 1] = popped[2]
            left[queue] = left[queue] - 1
            if left[queue] > 0 then
                filled[#filled + 1] = queue
            end
        end
    end
    queues = filled
until #queues == 0
return taken
