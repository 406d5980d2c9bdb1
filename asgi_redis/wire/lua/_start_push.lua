-- Reads the clock for _push: sets now, in Unix seconds; score_now, the same as a string, which is made once as each
-- costs as much as a small command; and to_trim, the bytes of expired messages that this script may drop. Needs the
-- local call.
-- include _clock
local score_now, to_trim = string.format('%.17g', now), 1048576
