-- Put before the library: key names, and the one place where the bytes that ended tasks hold are counted.
-- A task that has ended is counted with its field `bytes`: as undelivered, for its receiver and in total, while its callback
-- is open; else as kept, which is what retention bounds.

local function key(...)
  return KEYS[1] .. table.concat({ ... }, ':')
end

local function integer(number)
  return string.format('%d', number)
end

-- What a task costs beside the texts that are counted: its record, its names in indexes. Measured, and rounded up.
local TASK_BYTES = 1024

-- The bounds that the last submission brought: of kept bytes, of undelivered ones in total and for each receiver, and of
-- those of the queue; none before the first.
local function bounds(text)
  text = text or redis.call('HMGET', key('totals'), 'bounds')[1]
  local kept, undelivered, of_receiver, queued = string.match(text or '', '^(%d+) (%d+) (%d+) (%d+)$')
  if not kept then
    return { kept = math.huge, undelivered = math.huge, of_receiver = math.huge, queued = math.huge }
  end
  return { kept = tonumber(kept), undelivered = tonumber(undelivered), of_receiver = tonumber(of_receiver),
    queued = tonumber(queued) }
end

local function count_kept(bytes)
  return redis.call('HINCRBY', key('totals'), 'kept_bytes', integer(bytes))
end

-- A receiver is listed here while something waits for it.
-- -> how much waits in total and for this receiver
local function count_undelivered(receiver, bytes)
  local total = redis.call('HINCRBY', key('totals'), 'undelivered_bytes', integer(bytes))
  local of_receiver = tonumber(redis.call('ZADD', key('undelivered'), 'INCR', integer(bytes), receiver))
  if of_receiver <= 0 then
    redis.call('ZREM', key('undelivered'), receiver)
  end
  return total, of_receiver
end

-- What an attempt has written is counted for its task and in total, with what an entry costs beside its text, rounded up.
local LOG_ENTRY_BYTES = 512

local function count_log(task_id, more)
  redis.call('HINCRBY', key('totals'), 'log_bytes', integer(more))
  return redis.call('HINCRBY', key('log', task_id), 'bytes', integer(more))
end

local function is_open(delivery)
  return delivery == 'pending' or delivery == 'sending'
end

-- Counts an ended task again when its delivery is opened or closed. Results wait for a receiver in the order of their arrival.
local function recount(task_id, receiver, bytes, was_open, open)
  if was_open == open then
    return
  end
  if open then
    count_kept(-bytes)
    count_undelivered(receiver, bytes)
    redis.call('ZADD', key('undelivered', receiver), redis.call('HINCRBY', key('totals'), 'arrivals', 1), task_id)
  else
    redis.call('ZREM', key('undelivered', receiver), task_id)
    count_undelivered(receiver, -bytes)
    count_kept(bytes)
  end
end

-- Counts the change in the bytes of an ended task. A task that ended under an earlier version has no count.
local function charge(task_id, receiver, delivery, more)
  local record = key('task', task_id)
  if more == 0 or not redis.call('HMGET', record, 'bytes')[1] then
    return
  end
  redis.call('HINCRBY', record, 'bytes', integer(more))
  if is_open(delivery) then
    count_undelivered(receiver, more)
  else
    count_kept(more)
  end
end

-- Counts one task less that may still bring a result for a receiver, because it has ended. A task accepted by an
-- earlier version does not have this field.
local function expect_no_more(task_id, receiver)
  if redis.call('HDEL', key('task', task_id), 'expected') == 1 and redis.call('HINCRBY', key('expected'), receiver, -1) <= 0 then
    redis.call('HDEL', key('expected'), receiver)
  end
end

-- Whether more is held than the bounds allow: by all tasks, or by those of a receiver.
local function over_bounds(receiver)
  local bound = bounds()
  local held = redis.call('HMGET', key('totals'), 'kept_bytes', 'undelivered_bytes')
  if tonumber(held[1] or 0) > bound.kept or tonumber(held[2] or 0) > bound.undelivered then
    return true
  end
  if not receiver or bound.of_receiver == math.huge then
    return false
  end
  -- Adding nothing is how to read a score with the rights of the runner, which has none to read sets.
  local waits = tonumber(redis.call('ZADD', key('undelivered'), 'INCR', 0, receiver))
  if waits <= 0 then
    redis.call('ZREM', key('undelivered'), receiver)
  end
  return waits > bound.of_receiver
end
