#!lua flags=allow-oom
-- Puts a task whose attempt is over without an outcome back to its old place in the queue, and frees the slot; one that
-- is a retry (by its type's rules), or whose attempt was lost before it began, comes there after a pause.
-- ARGV: task_id, attempt, kind ('' | unstarted | unbegun | loss | retry), waiting_code, waiting_message, owner,
--       pause of one that is unbegun in milliseconds
-- -> 1, or 0 if this attempt is no longer the task's current one; NOTLEADING
if not leads(ARGV[6]) then
  return redis.error_reply(NOT_LEADING)
end
local task_id, attempt, kind, code, message = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local record = key('task', task_id)
local fields = redis.call('HMGET', record, 'state', 'attempt', 'type', 'client', 'priority')
local state, task_type = fields[1], fields[3]
if fields[2] ~= attempt or (state ~= 'starting' and state ~= 'running') then
  return 0
end
move(task_id, task_type, state, 'queued')
if kind == 'unstarted' then -- nothing has ever borne this number, and the next claim has a token of its own
  redis.call('HINCRBY', record, 'attempt', -1)
elseif kind ~= '' then
  keep_past_attempt(task_id, attempt, code, message)
end
local pause = 0
if kind == 'retry' then
  pause = backoff(task_id)
  delay(task_id, pause)
  redis.call('HINCRBY', record, 'retried', 1)
elseif kind == 'unbegun' then
  pause = tonumber(ARGV[7])
  delay(task_id, pause)
  redis.call('HINCRBY', record, 'unbegun', 1)
else
  enqueue(fields[4], task_type, fields[5], task_id)
end
redis.call('HDEL', record, 'token', 'holder', 'claimed', 'started', 'begun', 'suspended', 'start_used', 'percent', 'message', 'stop',
  'retry_code', 'retry_message', 'retry_delay')
redis.call('HSET', record, 'waits_since', integer(now_milliseconds() + pause))
tally(task_type, 'requeued', kind == '' and 'returned' or kind)
unstage(task_id)
if kind == 'loss' then
  redis.call('HINCRBY', record, 'losses', 1)
end
if code ~= '' then
  redis.call('HSET', record, 'waiting_code', code, 'waiting_message', message)
end
free_slot(task_id, task_type, attempt)
return 1
