#!lua flags=allow-oom
-- The runner records the outcome, its body and a due delivery in one step. Repeated by the same attempt it changes
-- nothing and answers the same. The first delivery attempt is leased to the runner, under the attempt's token, unless the
-- receiver may be slow: then the service makes it at once.
-- A failure that is to be tried again, by the type's rules or because the task asks for it, is no outcome: it is noted, and
-- the attempt's end brings the task back to the queue.
-- ARGV: task_id, attempt, token, state, error_code, error_message, body, finished, lease_milliseconds, tenths,
--       retry ('' | own | milliseconds), message ('': as it was), log ('': the service reads it),
--       counted_code (as which an error is counted)
-- -> 'attempt' (recorded, and the first delivery attempt is the runner's), 'recorded', 'retry' or 'refused'
local task_id, attempt, token, state = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local fields = redis.call('HMGET', key('task', task_id), 'state', 'attempt', 'token', 'percent')

local function recorded()
  local delivery = redis.call('HMGET', key('task', task_id), 'delivery', 'delivery_token')
  return delivery[1] == 'sending' and delivery[2] == token and 'attempt' or 'recorded'
end

if fields[2] ~= attempt or fields[3] ~= token then
  return 'refused'
end
if fields[1] == state and state ~= 'cancelled' then
  return recorded()
end
if fields[1] ~= 'running' then
  return 'refused'
end
if (ARGV[13] or '') ~= '' then
  hand_over_log(task_id, attempt, ARGV[13])
end
if state == 'failed' and may_retry(task_id, ARGV[5], ARGV[11] ~= '') then
  redis.call('HSET', key('task', task_id), 'retry_code', ARGV[5], 'retry_message', ARGV[6],
    'retry_delay', ARGV[11] == 'own' and '' or ARGV[11])
  return 'retry'
end
-- The last progress may not have been sent before the task ended.
set_progress(task_id, fields[4], ARGV[10], ARGV[12])
conclude(task_id, {
  state = state,
  error_code = ARGV[5],
  error_message = ARGV[6],
  counted_code = ARGV[14],
  body = ARGV[7],
  finished = ARGV[8],
  delivery_token = token,
  lease = tonumber(ARGV[9]),
})
return recorded()
