-- The clock of the server: sets now, in Unix seconds. Needs the local call.
redis.replicate_commands() -- Redis 5 and 6 refuse to write after TIME without it
local time = call('TIME')
local now = time[1] + time[2] / 1000000
