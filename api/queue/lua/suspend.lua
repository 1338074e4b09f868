#!lua flags=allow-oom
-- Takes an attempt that was suspended back to where it was before it began. Its start deadline counts from now, its token
-- stays, and whoever begins it next may.
-- ARGV: task_id, attempt, owner
-- -> 1, or 0 if this attempt is not the current one or has not begun; NOTLEADING
if not leads(ARGV[3]) then
  return redis.error_reply(NOT_LEADING)
end
local task_id, attempt = ARGV[1], ARGV[2]
local record = key('task', task_id)
local fields = redis.call('HMGET', record, 'state', 'attempt', 'type', 'holder')
if fields[2] ~= attempt or fields[1] ~= 'running' and not (fields[1] == 'starting' and fields[4]) then
  return 0
end
move(task_id, fields[3], fields[1], 'starting')
redis.call('HDEL', record, 'holder', 'started', 'begun', 'percent')
unstage(task_id)
redis.call('HSET', record, 'claimed', integer(now_milliseconds()))
return 1
