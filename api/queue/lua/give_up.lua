#!lua flags=allow-oom
-- Gives up the delivery of one task: it is dead, also while an attempt is in progress, and can be redelivered.
-- ARGV: task_id, reason
-- -> { 'unknown' | 'no_callback' | 'not_ended' | 'delivered' | 'given_up', view or false }
local task_id = ARGV[1]
local fields = redis.call('HMGET', key('task', task_id), 'state', 'result_url', 'delivery')
if not fields[1] then
  return { 'unknown', false }
elseif not fields[2] then
  return { 'no_callback', view(task_id) }
elseif next(MOVES[fields[1]]) then
  return { 'not_ended', view(task_id) }
elseif fields[3] == 'delivered' then
  return { 'delivered', view(task_id) }
end
if is_open(fields[3]) then
  give_up(task_id, fields[2], ARGV[2], 'given_up')
end
return { 'given_up', view(task_id) }
