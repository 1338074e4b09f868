#!lua flags=allow-oom
-- Makes the delivery of one task due at once.
-- ARGV: task_id
-- -> { 'unknown' | 'no_callback' | 'not_ended' | 'gone' | 'due' | 'sending', view or false }
local task_id = ARGV[1]
local fields = redis.call('HMGET', key('task', task_id), 'state', 'result_url')
local code
if not fields[1] then
  return { 'unknown', false }
elseif not fields[2] then
  code = 'no_callback'
elseif next(MOVES[fields[1]]) then
  code = 'not_ended'
else
  local before = redeliver(task_id)
  code = not before and 'gone' or before == 'sending' and 'sending' or 'due'
end
return { code, view(task_id) }
