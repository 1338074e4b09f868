#!lua flags=allow-oom
-- Moves a suspended attempt back to `starting` and clears its holder: its token stays, and only a new runner can begin
-- it. The interruption is kept among its attempts. Unless it is released already, others get its slot.
-- ARGV: task_id, attempt, code, message, released (1 | 0), owner
-- -> 1, or 0 if this attempt is not the current one or has not begun; NOTLEADING
if not leads(ARGV[6]) then
  return redis.error_reply(NOT_LEADING)
end
local task_id, attempt, code, message, released = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5] == '1'
local record = key('task', task_id)
local fields = redis.call('HMGET', record, 'state', 'attempt', 'type', 'holder')
local state, task_type = fields[1], fields[3]
if fields[2] ~= attempt or state ~= 'running' and not (state == 'starting' and fields[4]) then
  return 0
end
if state == 'running' then
  redis.call('HINCRBY', record, 'suspensions', 1)
  keep_past_attempt(task_id, attempt, code, message)
  move(task_id, task_type, state, 'starting')
end
-- It could start, so what it has used of its start deadline does not count.
redis.call('HDEL', record, 'holder', 'started', 'begun', 'percent', 'start_used')
unstage(task_id)
redis.call('HSET', record, 'claimed', integer(now_milliseconds()))
if released then
  redis.call('HDEL', record, 'waiting_code', 'waiting_message')
  return_to_slot(task_id, task_type, attempt)
else
  redis.call('HSET', record, 'waiting_code', code, 'waiting_message', message)
  leave_slot(task_id, task_type, attempt)
end
return 1
