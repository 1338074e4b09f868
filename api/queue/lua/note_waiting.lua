#!lua flags=allow-oom
-- Records why a starting attempt has not begun yet, or that a running one is being suspended.
-- While it waits for its release its start deadline stands still, and while its Job is suspended its slot is for others.
-- `start_used` is the part of the deadline used in all releases, so an attempt that can never start fails.
-- ARGV: task_id, attempt, waiting_code (empty: nothing is in its way), waiting_message, owner
-- -> 1, or 0 if this attempt is not the current one or has begun; NOTLEADING
if not leads(ARGV[5]) then
  return redis.error_reply(NOT_LEADING)
end
local task_id, attempt, code, message = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local record = key('task', task_id)
local fields = redis.call('HMGET', record, 'state', 'attempt', 'waiting_code', 'type', 'claimed')
local state, before, task_type = fields[1], fields[3] or '', fields[4]
if fields[2] ~= attempt or state ~= 'starting' and state ~= 'running' then
  return 0
end
if state == 'starting' then
  local now = now_milliseconds()
  if waits_for_release(code) and not waits_for_release(before) then
    redis.call('HINCRBY', record, 'start_used', integer(math.max(0, now - tonumber(fields[5] or now))))
  elseif waits_for_release(before) and not waits_for_release(code) then
    redis.call('HSET', record, 'claimed', integer(now))
  end
  if code == 'suspended' then
    leave_slot(task_id, task_type, attempt)
  else
    return_to_slot(task_id, task_type, attempt)
  end
end
if code == '' then
  redis.call('HDEL', record, 'waiting_code', 'waiting_message')
else
  redis.call('HSET', record, 'waiting_code', code, 'waiting_message', message)
end
announce(task_id, state)
return 1
