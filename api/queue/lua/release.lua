#!lua flags=allow-oom
-- Frees the slot of an attempt that is over. Its token goes with it: nothing can be recorded under it any more.
-- ARGV: task_id, attempt, type, owner
-- -> 1 if it held a slot, else 0; NOTLEADING
if not leads(ARGV[4]) then
  return redis.error_reply(NOT_LEADING)
end
local task_id, attempt, task_type = ARGV[1], ARGV[2], ARGV[3]
local record = key('task', task_id)
local fields = redis.call('HMGET', record, 'state', 'attempt')
if fields[1] and fields[2] == attempt and not next(MOVES[fields[1]]) then
  redis.call('HDEL', record, 'token', 'holder', 'claimed', 'begun', 'over', 'suspended', 'start_used', 'stop')
end
return free_slot(task_id, task_type, attempt)
