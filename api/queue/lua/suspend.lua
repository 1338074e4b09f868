#!lua flags=allow-oom
-- Takes a running attempt that was suspended back to `starting`. Its start deadline counts from now, its token stays.
-- ARGV: task_id, attempt, owner
-- -> 1, or 0 if this attempt is not the current one or does not run; NOTLEADING
if not leads(ARGV[3]) then
  return redis.error_reply(NOT_LEADING)
end
local task_id, attempt = ARGV[1], ARGV[2]
local record = key('task', task_id)
local fields = redis.call('HMGET', record, 'state', 'attempt', 'type')
if fields[1] ~= 'running' or fields[2] ~= attempt then
  return 0
end
move(task_id, fields[3], 'running', 'starting')
redis.call('HDEL', record, 'holder', 'started', 'percent')
redis.call('HSET', record, 'claimed', integer(now_milliseconds()))
return 1
