#!lua flags=allow-oom
-- A sender reports one attempt. Its lease's token must be the current one; a late report can only raise to delivered,
-- and does not even do that once the delivery has another URL: the attempt went to the old one.
-- What is kept of a good first attempt is short and lies in the record; of all others the newest are kept.
-- ARGV: task_id, token, status (delivered | pending | dead | blocked), delay_milliseconds, error,
--       try ('': nothing was tried, the delivery is only put back), answer,
--       standing of the receiver ('': no change), its account ('': no change), counts: 0 if it does not count in the
--       schedule
-- -> the status that now holds, or false if nothing is known of such a delivery
local MAX_TRIES, SHORT = 20, 64
local task_id, token, status, delay, fault = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local try, answer, standing, account, counts = ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local record = key('task', task_id)
local fields = redis.call('HMGET', record, 'delivery', 'delivery_token', 'result_url', 'moved')
local current = fields[1]
if not current or not fields[3] then
  return false
end
local host = host_of(fields[3])
if fields[4] and fields[2] ~= token then
  end_probe(task_id, standing ~= 'slow')
  return current
end
if standing ~= '' then
  note_receiver(host, standing, account)
end
end_probe(task_id, standing ~= 'slow')
if current == 'delivered' or fields[2] ~= token and status ~= 'delivered' then
  return current
end
set_delivery(task_id, status)
redis.call('HDEL', record, 'delivery_token', 'delivery_lost')
if fault ~= '' then
  redis.call('HSET', record, 'delivery_error', fault)
end
if try ~= '' then
  local number = redis.call('HINCRBY', record, 'delivery_attempts', 1)
  redis.call('HINCRBY', key('totals'), 'tries_' .. status, 1)
  if counts == '0' then
    redis.call('HINCRBY', record, 'delivery_before', 1)
  end
  if number == 1 and status == 'delivered' and #try <= SHORT and answer == '' then
    redis.call('HSET', record, 'try', try)
  else
    local tries, more = key('tries', task_id), #try + #answer - #(redis.call('GET', key('answer', task_id)) or '')
    if redis.call('RPUSH', tries, try) > MAX_TRIES then
      more = more - #redis.call('LPOP', tries)
    end
    if answer == '' then
      redis.call('DEL', key('answer', task_id))
    else
      redis.call('SET', key('answer', task_id), answer)
    end
    charge(task_id, host, status, more)
  end
end
unschedule_delivery(host, task_id)
if status == 'pending' then
  schedule_delivery(host, task_id, integer(now_milliseconds() + delay))
  wake('deliver')
end
announce(task_id, status)
return status
