#!lua flags=allow-oom
-- The leader has seen the program of an attempt begin, whose runner is beside it and does not say so.
-- ARGV: task_id, attempt, owner
-- -> 1, or 0 if this attempt is not the current one or has begun; NOTLEADING
if not leads(ARGV[3]) then
  return redis.error_reply(NOT_LEADING)
end
local task_id, attempt = ARGV[1], ARGV[2]
local record = key('task', task_id)
local fields = redis.call('HMGET', record, 'state', 'attempt', 'type', 'created', 'claimed')
if fields[1] ~= 'starting' or fields[2] ~= attempt then
  return 0
end
local now = now_milliseconds()
move(task_id, fields[3], 'starting', 'running')
if fields[5] then
  observe(fields[3], 'start', now - tonumber(fields[5]))
end
redis.call('HSET', record, 'started', integer(math.max(wall_milliseconds(), tonumber(fields[4]))),
  'begun', integer(now))
redis.call('HDEL', record, 'waiting_code', 'waiting_message', 'start_used')
return_to_slot(task_id, fields[3], attempt)
return 1
