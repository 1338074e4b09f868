#!lua flags=allow-oom
-- The service ends a task: cancelled, or failed with what its attempt's end means. A compare-and-set on state and attempt.
-- ARGV: task_id, state_expected, attempt_expected, state, error_code, error_message, body, finished, owner,
--       counted_code (as which the error is counted)
-- -> 1, or 0 if the task has moved on; NOTLEADING
if not leads(ARGV[9]) then
  return redis.error_reply(NOT_LEADING)
end
local task_id = ARGV[1]
local fields = redis.call('HMGET', key('task', task_id), 'state', 'attempt', 'type')
if fields[1] ~= ARGV[2] or (fields[2] or '0') ~= ARGV[3] then
  return 0
end
count_apart(fields[3])
local ended = conclude(task_id, {
  state = ARGV[4],
  error_code = ARGV[5],
  error_message = ARGV[6],
  counted_code = ARGV[10],
  body = ARGV[7],
  finished = ARGV[8],
  delivery_token = '',
})
return ended and 1 or 0
