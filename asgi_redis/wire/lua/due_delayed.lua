-- Look at what is due, without taking it: delayed messages, and queues whose delayed messages wait for room.
--
-- KEYS[1] delayed        sorted set {prefix}:delayed; score: Unix seconds when due
-- KEYS[2] waiting_queues sorted set {prefix}:waiting, names of queues; score: Unix seconds of the next try
-- ARGV[1] limit          messages, and queues
-- ARGV[2] retry          seconds until the queues are due again
-- Returns the microseconds until more is due, not counting these queues, or -1 where there is nothing more; a list of
-- the queues; a list of the members, each with its score.
--
-- A script, because the clock of the scores is the server's; a queue that is due is tried by one process only.
local delayed, waiting_queues, limit, retry = KEYS[1], KEYS[2], tonumber(ARGV[1]), ARGV[2]
local call = redis.call
-- include _list

-- include _clock
local members, next_message = list(delayed, now, limit)
local found, next_queue = list(waiting_queues, now, limit)
local queues = {}
for i = 1, #found, 2 do
    queues[#queues + 1] = found[i]
    call('ZADD', waiting_queues, string.format('%.17g', now + retry), found[i])
end
local next = math.min(next_message or math.huge, next_queue or math.huge)
return {next < math.huge and math.max(0, math.ceil((next - now) * 1000000)) or -1, queues, members}
