#!lua flags=allow-oom
-- A sender reports one try. Its lease's token must be the current one; a late report can only raise to delivered.
-- ARGV: task_id, token, status (delivered | pending | dead | blocked), delay_milliseconds, error
-- -> the status that now holds, or false if nothing is known of such a delivery
local task_id, token, status, delay, fault = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local record = key('task', task_id)
local fields = redis.call('HMGET', record, 'delivery', 'delivery_token')
local current = fields[1]
if not current or current == 'delivered' then
  return current
end
if fields[2] ~= token and status ~= 'delivered' then
  return current
end
redis.call('HINCRBY', record, 'delivery_attempts', 1)
redis.call('HSET', record, 'delivery', status)
redis.call('HDEL', record, 'delivery_token')
if fault ~= '' then
  redis.call('HSET', record, 'delivery_error', fault)
end
if status == 'pending' then
  redis.call('ZADD', key('deliveries'), integer(now_milliseconds() + delay), task_id)
else
  redis.call('ZREM', key('deliveries'), task_id)
end
if status == 'pending' then
  wake('deliver')
end
announce(task_id, status)
return status
