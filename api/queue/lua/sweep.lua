#!lua flags=allow-oom
-- Retention, one small step: of the tasks longest ended, takes those past the age or over the count or the bytes.
-- A task whose delivery is still due, or whose attempt still holds a slot, goes to the end of the line instead.
-- A taken id is remembered for as long again, in bounded number, so that its absence can be explained.
-- ARGV: max_age_milliseconds, max_count, max_bytes, step
-- -> how many tasks were taken
local max_age, max_count, max_bytes, step = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local MAX_REMEMBERED = 10000
local now = now_milliseconds()
local ended, totals, swept = key('ended'), key('totals'), key('swept')

local function take(task_id, task_type, state)
  redis.call('HINCRBY', totals, 'body_bytes', -redis.call('STRLEN', key('body', task_id)))
  redis.call('DEL', key('task', task_id), key('body', task_id), key('tries', task_id), key('answer', task_id),
    key('attempts', task_id))
  redis.call('ZREM', key('deliveries', 'dead'), task_id)
  if task_type then
    redis.call('ZREM', key('index', state, task_type), task_id)
  end
  redis.call('ZADD', swept, integer(now), task_id)
  redis.call('ZREMRANGEBYRANK', swept, 0, -(MAX_REMEMBERED + 1))
  redis.call('PEXPIRE', swept, integer(max_age))
end

redis.call('ZREMRANGEBYSCORE', swept, '-inf', integer(now - max_age))
local count, taken = redis.call('LLEN', ended), 0
for _, entry in ipairs(redis.call('LRANGE', ended, 0, step - 1)) do
  local task_id, ended_at = string.match(entry, '^(%S+) ?(%d*)$')
  local fields = redis.call('HMGET', key('task', task_id), 'type', 'state', 'attempt', 'finished', 'delivery')
  local task_type = fields[1]
  local bytes = tonumber(redis.call('HGET', totals, 'body_bytes') or 0)
  if not task_type or count > max_count or bytes > max_bytes or now - tonumber(ended_at ~= '' and ended_at or fields[4]) >= max_age then
    redis.call('LREM', ended, 1, entry)
    local held = task_type and (fields[5] == 'pending' or fields[5] == 'sending'
      or redis.call('ZSCORE', key('slots', task_type), task_id .. ':' .. (fields[3] or '0'))
      or redis.call('ZSCORE', key('suspended', task_type), task_id .. ':' .. (fields[3] or '0')))
    if held then
      redis.call('RPUSH', ended, entry)
    else
      take(task_id, task_type, fields[2])
      count = count - 1
      taken = taken + 1
    end
  end
end
return taken
