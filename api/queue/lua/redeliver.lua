#!lua flags=allow-oom
-- Makes the delivery of one task due at once, to another URL if one is given.
-- ARGV: task_id, URL or ''
-- -> { 'unknown' | 'no_callback' | 'not_ended' | 'gone' | 'due' | 'sending' | 'full_receiver' | 'full_undelivered',
--      view or false, bytes that wait if there is no room, why the result is gone if that is recorded }
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
  local before = redeliver(task_id, ARGV[2])
  if type(before) == 'table' then
    return { before[1], view(task_id), before[2] }
  end
  local sent = before == 'sending' and redis.call('HGET', key('task', task_id), 'delivery') == 'sending'
  code = not before and 'gone' or sent and 'sending' or 'due'
end
return { code, view(task_id), redis.call('HGET', key('task', task_id), 'dropped') }
