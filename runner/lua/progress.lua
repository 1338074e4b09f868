#!lua flags=allow-oom
-- The runner reports how far its task is, in tenths of a percent.
-- ARGV: task_id, attempt, token, tenths, message ('': as it was)
-- -> 1, or 0 if this attempt is no longer the task's current one
local task_id, attempt, token = ARGV[1], ARGV[2], ARGV[3]
local record = key('task', task_id)
local fields = redis.call('HMGET', record, 'state', 'attempt', 'token', 'percent', 'holder')
-- A program beside its runner may be at work before the service has seen it.
local begun = fields[1] == 'running' or fields[1] == 'starting' and fields[5]
if not begun or fields[2] ~= attempt or fields[3] ~= token then
  return 0
end
set_progress(task_id, fields[4], ARGV[4], ARGV[5])
announce(task_id, 'progress')
return 1
