#!lua flags=allow-oom
-- The runner beside a task's program asks for its input. The task stays `starting`: that its program runs, the service sees.
-- Asked again by the same holder it answers the same.
-- ARGV: task_id, attempt, token, holder
-- -> { 'refused', state }, { 'held' } if another holds it (of a Job that was suspended, until the service has seen that),
--    or { 'prepared', input }
local task_id, attempt, token, holder = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local record = key('task', task_id)
local fields = redis.call('HMGET', record, 'state', 'attempt', 'token', 'holder')
local state = fields[1]
if fields[2] ~= attempt or fields[3] ~= token then
  return { 'refused', state or 'unknown' }
end
if state ~= 'starting' and state ~= 'running' then
  return { 'refused', state }
end
if fields[4] and fields[4] ~= holder then
  return { 'held' }
end
redis.call('HSET', record, 'holder', holder)
-- One that is started again has not seen the end that it may have been told of.
unstage(task_id)
return { 'prepared', redis.call('GET', key('input', task_id)) }
