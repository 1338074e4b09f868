#!lua flags=no-writes
-- A task and the time, as they are at one instant, for the service that settles.
-- ARGV: task_id, owner
-- -> { now, view, or false if there is no such task }; NOTLEADING
if not leads(ARGV[2]) then
  return redis.error_reply(NOT_LEADING)
end
local task_id = ARGV[1]
local found = redis.call('EXISTS', key('task', task_id)) == 1
return { integer(now_milliseconds()), found and view(task_id) }
