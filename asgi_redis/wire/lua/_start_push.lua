-- Starts a script that uses _push: sets now to the server's clock in Unix seconds, as the string that is a score; and
-- to_trim to the bytes of expired messages that this script may drop. Arithmetic takes the string as the same number as
-- that of _clock, to the last bit; making a string of that number costs as much as a small command. Needs the local
-- call.
-- include _time
local now, to_trim = time[1] .. '.' .. ('00000' .. time[2]):sub(-6), 1048576
