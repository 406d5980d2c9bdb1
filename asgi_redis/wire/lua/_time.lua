-- Reads the clock of the server: sets time, its seconds and microseconds. Needs the local call.
redis.replicate_commands() -- Redis 5 and 6 refuse to write after TIME without it
local time = call('TIME')
