#!lua flags=allow-oom
-- The runner records the outcome, its body and a due delivery in one step. Repeated by the same attempt it changes
-- nothing and answers the same. The first delivery try is leased to the runner, under the attempt's token.
-- ARGV: task_id, attempt, token, state, error_code, error_message, body, finished, lease_milliseconds, tenths
-- -> 'recorded' or 'refused'
local task_id, attempt, token, state = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local fields = redis.call('HMGET', key('task', task_id), 'state', 'attempt', 'token', 'percent')
if fields[2] ~= attempt or fields[3] ~= token then
  return 'refused'
end
if fields[1] == state and state ~= 'cancelled' then
  return 'recorded'
end
if fields[1] ~= 'running' then
  return 'refused'
end
-- The last progress may not have been sent before the task ended.
if tonumber(ARGV[10]) > tonumber(fields[4] or 0) then
  redis.call('HSET', key('task', task_id), 'percent', ARGV[10])
end
conclude(task_id, {
  state = state,
  error_code = ARGV[5],
  error_message = ARGV[6],
  body = ARGV[7],
  finished = ARGV[8],
  delivery_due = integer(now_milliseconds() + tonumber(ARGV[9])),
  delivery_token = token,
})
return 'recorded'
