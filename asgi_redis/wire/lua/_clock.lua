-- The clock of the server: sets now, in Unix seconds. Needs the local call.
-- include _time
local now = time[1] + time[2] / 1000000
