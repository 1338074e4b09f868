#!lua flags=allow-oom
-- The runner reports how far it is, in tenths of a percent. Within an attempt the figure never goes back.
-- ARGV: task_id, attempt, token, tenths, message ('': as it was)
-- -> 1, or 0 if this attempt is no longer the task's current one
local task_id, attempt, token, tenths = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local record = key('task', task_id)
local fields = redis.call('HMGET', record, 'state', 'attempt', 'token', 'percent')
if fields[1] ~= 'running' or fields[2] ~= attempt or fields[3] ~= token then
  return 0
end
if ARGV[5] ~= '' then
  redis.call('HSET', record, 'message', ARGV[5])
end
if tenths > tonumber(fields[4] or 0) then
  redis.call('HSET', record, 'percent', integer(tenths))
end
announce(task_id, 'progress')
return 1
