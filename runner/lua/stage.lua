#!lua flags=allow-oom
-- The runner beside a task's program hands over what that has left as its result. What it counts for is settled by who sees
-- how the program ended.
-- ARGV: task_id, attempt, token, holder, code ('': a result; else that of the error that it is), message, result,
--       tenths, words of progress ('': as they were)
-- -> 1, or 0 if this attempt is no longer the task's current one
local task_id, attempt, token, holder = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local record = key('task', task_id)
local fields = redis.call('HMGET', record, 'state', 'attempt', 'token', 'holder', 'percent')
local state = fields[1]
if fields[2] ~= attempt or fields[3] ~= token or fields[4] ~= holder or state ~= 'starting' and state ~= 'running' then
  return 0
end
redis.call('HSET', record, 'staged_code', ARGV[5], 'staged_message', ARGV[6])
redis.call('SET', key('staged', task_id), ARGV[7])
set_progress(task_id, fields[5], ARGV[8], ARGV[9])
wake('settle')
return 1
