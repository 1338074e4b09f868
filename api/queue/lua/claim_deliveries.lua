#!lua flags=allow-oom
-- Leases due deliveries to one sender. A lease that runs out makes its delivery due again.
-- ARGV: limit, lease_milliseconds, token
-- -> { milliseconds until the next one is due or false, rows of { task_id, result_url, attempts } }
local limit, lease, token = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local now = now_milliseconds()
local rows = {}
for _, task_id in ipairs(redis.call('ZRANGEBYSCORE', key('deliveries'), '-inf', integer(now), 'LIMIT', 0, limit)) do
  local record = key('task', task_id)
  local fields = redis.call('HMGET', record, 'result_url', 'delivery_attempts')
  if fields[1] then
    redis.call('ZADD', key('deliveries'), integer(now + lease), task_id)
    redis.call('HSET', record, 'delivery', 'sending', 'delivery_token', token)
    rows[#rows + 1] = { task_id, fields[1], fields[2] or '0' }
  else
    redis.call('ZREM', key('deliveries'), task_id)
  end
end
local nearest = redis.call('ZRANGE', key('deliveries'), 0, 0, 'WITHSCORES')
return { nearest[2] and integer(math.max(0, tonumber(nearest[2]) - now)) or false, rows }
