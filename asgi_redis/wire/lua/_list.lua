-- Reads the first members of a sorted set, at most limit of them and 1 MiB, with their scores, up to the score last.
-- Returns them in a flat list, and the score of the next one, if there is one. Needs the local call.
local function list(set, last, limit)
    local found, size = {}, 0
    while true do
        local position = string.format('%.0f', #found / 2)
        local following = call('ZRANGE', set, position, position, 'WITHSCORES')
        if not following[1] or tonumber(following[2]) > last or #found >= 2 * limit or size >= 1048576 then
            return found, tonumber(following[2])
        end
        found[#found + 1] = following[1]
        found[#found + 1] = following[2]
        size = size + #following[1]
    end
end
