#!lua flags=no-writes
-- ARGV: task_id
-- -> false if there is no such task, else { view, tries in order, the newest answer or false }
local task_id = ARGV[1]
local first = redis.call('HMGET', key('task', task_id), 'state', 'try')
if not first[1] then
  return false
end
local tries = redis.call('LRANGE', key('tries', task_id), 0, -1)
if first[2] then
  table.insert(tries, 1, first[2])
end
return { view(task_id), tries, redis.call('GET', key('answer', task_id)) }
