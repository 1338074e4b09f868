-- Retention, and dropping results when too many bytes wait for delivery: for the scripts of the service.

local MAX_REMEMBERED = 10000
local MAX_NOTICES = 1000
local LOOKED_AT = 16

local function forget(task_id, task_type, state, max_age, bytes)
  count_kept(-counted(bytes))
  redis.call('DEL', key('task', task_id), key('body', task_id), key('tries', task_id), key('answer', task_id),
    key('attempts', task_id))
  forget_log(task_id)
  redis.call('ZREM', key('deliveries', 'dead'), task_id)
  if task_type and state then
    redis.call('ZREM', key('index', state, task_type), task_id)
  end
  local swept = key('swept')
  redis.call('ZADD', swept, integer(now_milliseconds()), task_id)
  redis.call('ZREMRANGEBYRANK', swept, 0, -(MAX_REMEMBERED + 1))
  if max_age < math.huge then
    redis.call('PEXPIRE', swept, integer(max_age))
  end
end

-- Checks a few of the tasks that ended first, and forgets those past the age, or over the count or the bytes. A task whose
-- delivery is still due, or whose attempt still holds a slot, moves to the end of the line instead.
-- -> how many were forgotten, and how many moved
local function retain(max_age, max_count, max_bytes, step)
  local ended, now, forgotten, moved = key('ended'), now_milliseconds(), 0, 0
  local count = redis.call('LLEN', ended)
  for _, entry in ipairs(redis.call('LRANGE', ended, 0, step - 1)) do
    local task_id, ended_at = string.match(entry, '^(%S+) ?(%d*)$')
    local fields = redis.pcall('HMGET', key('task', task_id), 'type', 'state', 'attempt', 'finished', 'delivery', 'bytes')
    local task_type = fields[1] -- none, too, if what is there is no record at all
    local bytes = tonumber(redis.call('HGET', key('totals'), 'kept_bytes') or 0)
    if not task_type or count > max_count or bytes > max_bytes or now - counted(ended_at ~= '' and ended_at or fields[4]) >= max_age then
      redis.call('LREM', ended, 1, entry)
      local held = task_type and (is_open(fields[5])
        or redis.call('ZSCORE', key('slots', task_type), task_id .. ':' .. (fields[3] or '0'))
        or redis.call('ZSCORE', key('suspended', task_type), task_id .. ':' .. (fields[3] or '0')))
      if held then
        redis.call('RPUSH', ended, entry)
        moved = moved + 1
      else
        forget(task_id, task_type, fields[2], max_age, fields[6])
        count = count - 1
        forgotten = forgotten + 1
      end
    end
  end
  return forgotten, moved
end

-- Gives up a delivery, with a reason: every lease of it ends. `result` (given_up | dropped) is what it is counted as.
local function give_up(task_id, result_url, reason, result)
  unschedule_delivery(host_of(result_url), task_id)
  set_delivery(task_id, 'dead', result)
  redis.call('HSET', key('task', task_id), 'delivery_error', reason)
  redis.call('HDEL', key('task', task_id), 'delivery_token', 'delivery_lost')
  announce(task_id, 'dead')
end

-- Drops the result that has waited longest for a receiver; its task stays, with the reason.
local function drop_oldest(receiver, task_id, reason)
  local record = key('task', task_id)
  local result_url = redis.call('HGET', record, 'result_url')
  if not result_url then -- somebody deleted the record by hand: what it was counted with is no longer known
    redis.call('ZREM', key('undelivered', receiver), task_id)
    if redis.call('EXISTS', key('undelivered', receiver)) == 0 then
      count_undelivered(receiver, -tonumber(redis.call('ZSCORE', key('undelivered'), receiver) or 0))
    end
    return
  end
  local bytes = redis.call('STRLEN', key('body', task_id))
  charge(task_id, receiver, 'pending', #reason - bytes)
  redis.call('DEL', key('body', task_id))
  redis.call('HSET', record, 'dropped', reason)
  give_up(task_id, result_url, reason, 'dropped')
  redis.call('HINCRBY', key('totals'), 'dropped', 1)
  redis.call('RPUSH', key('dropped'), cjson.encode({ task_id, receiver, bytes }))
  redis.call('LTRIM', key('dropped'), -MAX_NOTICES, -1)
end

-- The receiver to drop from: of those with the largest backlogs, the first whose oldest result was tried in vain, else the largest.
local function heaviest()
  local first
  for _, receiver in ipairs(redis.call('ZREVRANGE', key('undelivered'), 0, LOOKED_AT - 1)) do
    local oldest = redis.call('ZRANGE', key('undelivered', receiver), 0, 0)[1]
    if oldest and tried_in_vain(oldest) then
      return receiver, oldest
    end
    first = first or { receiver, oldest }
  end
  return unpack(first or {})
end

-- While more waits for a receiver than the bounds allow, or in total, the oldest results are dropped: of that receiver, or
-- of the one with the largest backlog. The newest of a receiver stays.
-- -> how many were dropped
local function make_room(most)
  local bound, dropped = bounds(), 0
  while dropped < most do
    local top = redis.call('ZREVRANGE', key('undelivered'), 0, 0, 'WITHSCORES')
    local total = tonumber(redis.call('HGET', key('totals'), 'undelivered_bytes') or 0)
    local receiver, oldest, reason
    if top[1] and tonumber(top[2]) > bound.of_receiver and redis.call('ZCARD', key('undelivered', top[1])) > 1 then
      receiver, oldest = top[1], redis.call('ZRANGE', key('undelivered', top[1]), 0, 0)[1]
      reason = string.format('more than %.0f bytes of results waited for %s: this was the oldest, and was dropped',
        bound.of_receiver, receiver)
    elseif top[1] and total > bound.undelivered then
      receiver, oldest = heaviest()
      reason = string.format('more than %.0f bytes of results waited for all receivers: this was the oldest of %s, and was dropped',
        bound.undelivered, receiver)
    end
    if not oldest then
      break
    end
    drop_oldest(receiver, oldest, reason)
    dropped = dropped + 1
  end
  return dropped
end
