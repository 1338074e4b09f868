#!lua
-- The runner keeps a task's own data for the attempt after this one. They are deleted when the task ends. While the queue is
-- full, the data saved before stays instead, because saved data counts as input while the task waits.
-- ARGV: task_id, attempt, token, data
-- -> 1, or 0 if this attempt is no longer the task's current one, or 2 if there is no room
local task_id = ARGV[1]
local fields = redis.call('HMGET', key('task', task_id), 'state', 'attempt', 'token')
if fields[1] ~= 'running' or fields[2] ~= ARGV[2] or fields[3] ~= ARGV[3] then
  return 0
end
if tonumber(redis.call('HMGET', key('totals'), 'queued_bytes')[1] or 0) > bounds().queued then
  return 2
end
redis.call('SET', key('checkpoint', task_id), ARGV[4])
return 1
