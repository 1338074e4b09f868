-- Deliveries that clients repeat or give up: for the scripts of the service.

-- Whether a delivery has been tried since it was last asked for. What waits and was tried has failed.
local function tried_in_vain(task_id)
  local fields = redis.call('HMGET', key('task', task_id), 'delivery_attempts', 'delivery_before')
  return tonumber(fields[1] or 0) > tonumber(fields[2] or 0)
end

-- How many bytes wait for a receiver, and how many the accepted tasks may add. Each counts with the size of the results
-- that wait already, if the last attempt was slow or failed, or the oldest waiting result was tried in vain; else with nothing.
local function waits_for(host)
  local waits = tonumber(redis.call('ZSCORE', key('undelivered'), host) or 0)
  local each = TASK_BYTES
  if waits > 0 then
    local line, standing = key('undelivered', host), receiver(host)
    local oldest = redis.call('ZRANGE', line, 0, 0)[1]
    if standing and standing ~= 'good' or oldest and tried_in_vain(oldest) then
      each = math.ceil(waits / redis.call('ZCARD', line))
    end
  end
  return waits, tonumber(redis.call('HGET', key('expected'), host) or 0) * each, each
end

-- Whether there is no room for one more result of a receiver, of so many bytes if given. Over the bound of all, only receivers that have their share of
-- it or more are refused.
-- -> false, or { 'full_receiver' | 'full_undelivered', how much waits }
local function no_room(receiver, bytes)
  local held = redis.call('HMGET', key('totals'), 'undelivered_bytes', 'bounds')
  local total, bound = tonumber(held[1] or 0), bounds(held[2])
  local waits, expected, each = waits_for(receiver)
  each = bytes or each
  if waits + expected + each > bound.of_receiver then
    return { 'full_receiver', integer(waits) }
  end
  local all = total
  if total > bound.undelivered / 4 then
    for _, other in ipairs(redis.call('ZREVRANGE', key('undelivered'), 0, 15)) do
      local _, more = waits_for(other)
      all = all + more
    end
  end
  if all + each > bound.undelivered then
    local share = bound.undelivered / math.max(1, redis.call('ZCARD', key('undelivered')))
    if waits + expected + each > share then
      return { 'full_undelivered', integer(total) }
    end
  end
  return false
end

-- Makes a delivery due at once, with its whole schedule before it, to another URL if one is given. One that is being sent
-- is left to its sender, unless its URL changes: then the report of that sender is ignored.
-- -> its status before, false if the outcome is no longer kept, or the answer of `no_room`
local function redeliver(task_id, new_url)
  local record = key('task', task_id)
  local fields = redis.call('HMGET', record, 'delivery', 'result_url', 'delivery_attempts', 'bytes')
  local status, result_url = fields[1], fields[2]
  if not status or redis.call('EXISTS', key('body', task_id)) == 0 then
    return false
  end
  local moves = new_url ~= '' and new_url ~= result_url
  if status == 'sending' and not moves then
    return status
  end
  local receiver = host_of(moves and new_url or result_url)
  if not is_open(status) or receiver ~= host_of(result_url) then
    local full = no_room(receiver, tonumber(fields[4]))
    if full then
      return full
    end
  end
  if moves then
    unschedule_delivery(host_of(result_url), task_id)
    set_delivery(task_id, 'dead', '')
    charge(task_id, '', 'dead', #new_url - #result_url)
    redis.call('HSET', record, 'result_url', new_url, 'moved', 1)
  end
  unschedule_delivery(receiver, task_id)
  set_delivery(task_id, 'pending')
  redis.call('HSET', record, 'delivery_before', fields[3] or '0')
  redis.call('HDEL', record, 'delivery_token', 'delivery_lost')
  schedule_delivery(receiver, task_id, integer(now_milliseconds()))
  announce(task_id, 'pending')
  wake('deliver')
  return status
end
