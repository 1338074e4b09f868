#!lua flags=allow-oom
-- A sender reports one try. Its lease's token must be the current one; a late report can only raise to delivered.
-- What is kept of a good first try is short and lies in the record; of all others the newest are kept.
-- ARGV: task_id, token, status (delivered | pending | dead | blocked), delay_milliseconds, error, try, answer
-- -> the status that now holds, or false if nothing is known of such a delivery
local MAX_TRIES, SHORT = 20, 64
local task_id, token, status, delay, fault = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local try, answer = ARGV[6], ARGV[7]
local record = key('task', task_id)
local fields = redis.call('HMGET', record, 'delivery', 'delivery_token', 'result_url')
local current = fields[1]
if not current or current == 'delivered' then
  return current
end
if fields[2] ~= token and status ~= 'delivered' then
  return current
end
local number = redis.call('HINCRBY', record, 'delivery_attempts', 1)
set_delivery(task_id, status)
redis.call('HDEL', record, 'delivery_token')
redis.call('HINCRBY', key('totals'), 'tries_' .. status, 1)
if fault ~= '' then
  redis.call('HSET', record, 'delivery_error', fault)
end
if number == 1 and status == 'delivered' and #try <= SHORT and answer == '' then
  redis.call('HSET', record, 'try', try)
else
  redis.call('RPUSH', key('tries', task_id), try)
  if number > MAX_TRIES then
    redis.call('LTRIM', key('tries', task_id), -MAX_TRIES, -1)
  end
  if answer == '' then
    redis.call('DEL', key('answer', task_id))
  else
    redis.call('SET', key('answer', task_id), answer)
  end
end
local host = host_of(fields[3])
unschedule_delivery(host, task_id)
if status == 'pending' then
  schedule_delivery('again', host, task_id, integer(now_milliseconds() + delay))
  wake('deliver')
end
announce(task_id, status)
return status
