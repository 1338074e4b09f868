#!lua flags=allow-oom
-- Keeps why an attempt that is starting has not begun yet. The start deadline of one that was suspended counts from its release.
-- ARGV: task_id, attempt, waiting_code (empty: nothing is in its way), waiting_message, owner
-- -> 1, or 0 if this attempt is not the current one or has begun; NOTLEADING
if not leads(ARGV[5]) then
  return redis.error_reply(NOT_LEADING)
end
local task_id, attempt, code, message = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local record = key('task', task_id)
local fields = redis.call('HMGET', record, 'state', 'attempt', 'waiting_code')
if fields[1] ~= 'starting' or fields[2] ~= attempt then
  return 0
end
if fields[3] == 'suspended' and code ~= 'suspended' then
  redis.call('HSET', record, 'claimed', integer(now_milliseconds()))
end
if code == '' then
  redis.call('HDEL', record, 'waiting_code', 'waiting_message')
else
  redis.call('HSET', record, 'waiting_code', code, 'waiting_message', message)
end
announce(task_id, 'starting')
return 1
