-- Write the entry of a process in the registry, and fetch the request that was left for it.
--
-- KEYS[1] entry     string {prefix}:process:{process}
-- KEYS[2] processes sorted set {prefix}:processes, names of processes; score: Unix seconds of the last report
-- KEYS[3] request   string {prefix}:request:{process}
-- ARGV[1] process   its name
-- ARGV[2] report    bytes
-- ARGV[3] ttl       seconds that the entry lives on without another report
-- Returns the request, or nil.
--
-- Atomic, because the list must name every entry, and a request is handed out once; the clock of the scores is the
-- server's.
local entry, processes, request = KEYS[1], KEYS[2], KEYS[3]
local process, report, ttl = ARGV[1], ARGV[2], ARGV[3]
local call = redis.call

-- include _clock
call('SET', entry, report, 'EX', ttl)
call('ZREMRANGEBYSCORE', processes, '-inf', '(' .. string.format('%.17g', now - ttl))
call('ZADD', processes, string.format('%.17g', now), process)
call('EXPIRE', processes, ttl)
local asked = call('GET', request)
if asked then
    call('DEL', request)
end
return asked
