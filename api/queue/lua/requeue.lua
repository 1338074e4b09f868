#!lua flags=allow-oom
-- Puts a task whose attempt is over without an outcome back to its old place in the queue, and frees the slot.
-- ARGV: task_id, attempt, count_loss (0 | 1), waiting_code, waiting_message, owner
-- -> 1, or 0 if this attempt is no longer the task's current one; NOTLEADING
if not leads(ARGV[6]) then
  return redis.error_reply(NOT_LEADING)
end
local task_id, attempt, count_loss = ARGV[1], ARGV[2], ARGV[3]
local record = key('task', task_id)
local fields = redis.call('HMGET', record, 'state', 'attempt', 'type', 'client', 'priority')
local state, task_type = fields[1], fields[3]
if fields[2] ~= attempt or (state ~= 'starting' and state ~= 'running') then
  return 0
end
move(task_id, task_type, state, 'queued')
enqueue(fields[4], task_type, fields[5], task_id, redis.call('STRLEN', key('input', task_id)))
redis.call('HDEL', record, 'token', 'holder', 'claimed', 'started', 'percent', 'stop')
if count_loss == '1' then
  redis.call('HINCRBY', record, 'losses', 1)
end
if ARGV[4] ~= '' then
  redis.call('HSET', record, 'waiting_code', ARGV[4], 'waiting_message', ARGV[5])
end
free_slot(task_id, task_type, attempt)
return 1
