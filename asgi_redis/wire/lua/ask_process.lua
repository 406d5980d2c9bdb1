-- Leave a request for a process, which its next report fetches.
--
-- KEYS[1] entry   string {prefix}:process:{process}
-- KEYS[2] request string {prefix}:request:{process}
-- ARGV[1] text    of the request
-- ARGV[2] ttl     seconds until it is forgotten
-- Returns 1, or 0 where the process is not in the registry.
--
-- Atomic, because nothing may be left for a process that has ended.
local entry, request, text, ttl = KEYS[1], KEYS[2], ARGV[1], ARGV[2]

if redis.call('EXISTS', entry) == 0 then
    return 0
end
redis.call('SET', request, text, 'EX', ttl)
return 1
