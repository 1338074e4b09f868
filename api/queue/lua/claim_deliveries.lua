#!lua flags=allow-oom
-- Leases due deliveries to one sender, of each host no more than it may have at a time. A lease that runs out makes its
-- delivery due again. First tries come before those made again, which have a limit of their own.
-- ARGV: limit, limit of those made again, limit for each host, lease_milliseconds, token,
--       then host and how many the sender has under way there, for each that it has
-- -> { milliseconds until there may be more to claim or false, rows of { task_id, result_url, attempts, lane, host } }
local limit, again_limit, host_limit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local lease, token = tonumber(ARGV[4]), ARGV[5]
local now = now_milliseconds()
local busy, hosts_busy = {}, 0
for index = 6, #ARGV, 2 do
  busy[ARGV[index]] = tonumber(ARGV[index + 1])
  hosts_busy = hosts_busy + 1
end
local rows, nearest = {}, false

local function sooner(milliseconds)
  nearest = nearest and math.min(nearest, milliseconds) or milliseconds
end

local function take(lane, host, room)
  local taken = 0
  local due = key('due', lane, host)
  for _, task_id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', integer(now), 'LIMIT', 0, room)) do
    local record = key('task', task_id)
    local fields = redis.call('HMGET', record, 'result_url', 'delivery_attempts', 'delivery_before')
    if fields[1] then
      redis.call('ZADD', due, integer(now + lease), task_id)
      set_delivery(task_id, 'sending')
      redis.call('HSET', record, 'delivery_token', token)
      local tries = tonumber(fields[2] or 0) - tonumber(fields[3] or 0)
      rows[#rows + 1] = { task_id, fields[1], integer(tries), lane, host }
      taken = taken + 1
    else
      redis.call('ZREM', due, task_id)
    end
  end
  busy[host] = (busy[host] or 0) + taken
  local earliest = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
  if earliest[2] then
    redis.call('ZADD', key('hosts', lane), earliest[2], host)
  else
    redis.call('ZREM', key('hosts', lane), host)
  end
  return taken
end

local function claim(lane, most)
  -- Of the hosts in reach fewer than all are full, and every other one gives a delivery or gets its right score.
  local reach = most + hosts_busy + #rows
  local due_hosts = redis.call('ZRANGEBYSCORE', key('hosts', lane), '-inf', integer(now), 'LIMIT', 0, reach)
  local taken = 0
  for _, host in ipairs(due_hosts) do
    local room = math.min(most - taken, host_limit - (busy[host] or 0))
    if room > 0 then
      taken = taken + take(lane, host, room)
    end
  end
  if taken < most then
    if #due_hosts == reach then
      sooner(0)
    end
    local later = redis.call('ZRANGEBYSCORE', key('hosts', lane), '(' .. integer(now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    if later[2] then
      sooner(tonumber(later[2]) - now)
    end
  end
  return taken
end

if limit > 0 then
  limit = limit - claim('first', limit)
end
if math.min(limit, again_limit) > 0 then
  claim('again', math.min(limit, again_limit))
end
return { nearest and integer(nearest) or false, rows }
