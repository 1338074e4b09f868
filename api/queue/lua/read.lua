#!lua flags=no-writes
-- ARGV: task_id
-- -> false if the task does not exist, else { view, slots used by all types, slots used by its type, why its type is paused or false }
local task_id = ARGV[1]
local task_type = redis.call('HGET', key('task', task_id), 'type')
if not task_type then
  return false
end
return { view(task_id), slots_used(), redis.call('ZCARD', key('slots', task_type)),
  redis.call('HGET', key('held'), task_type) }
