#!lua flags=allow-oom
-- Extends the leases of deliveries whose attempts are in progress.
-- ARGV: lease_milliseconds, then task_id and token for each
local due = integer(now_milliseconds() + tonumber(ARGV[1]))
for index = 2, #ARGV, 2 do
  local fields = redis.call('HMGET', key('task', ARGV[index]), 'result_url', 'delivery', 'delivery_token')
  if fields[1] and fields[2] == 'sending' and fields[3] == ARGV[index + 1] then
    redis.call('ZADD', key('due', host_of(fields[1])), 'XX', due, ARGV[index])
  end
end
