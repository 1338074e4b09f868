#!lua flags=allow-oom
-- The runner of an attempt says that it begins. Asked again by the same holder it answers the same.
-- ARGV: task_id, attempt, token, holder
-- -> { 'refused', state }, { 'held' } if another holds it (of a Job that was suspended, until the service has seen that), or
--    { 'started', type, input, created, started, now, milliseconds left to run, result_url or false, checkpoint or false,
--      retries that the type allows, retries used }
local task_id, attempt, token, holder = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local record = key('task', task_id)
local fields = redis.call('HMGET', record, 'state', 'attempt', 'token', 'holder', 'type', 'created', 'started', 'timeout', 'result_url', 'begun',
  'retries', 'retried', 'claimed')
local state = fields[1]
if fields[2] ~= attempt or fields[3] ~= token then
  return { 'refused', state or 'unknown' }
end
local wall, now = wall_milliseconds(), now_milliseconds()
local started, begun = fields[7], fields[10] or now
if state == 'starting' then
  started = integer(math.max(wall, tonumber(fields[6])))
  move(task_id, fields[5], state, 'running')
  if fields[13] then
    observe(fields[5], 'start', now - tonumber(fields[13]))
  end
  wake('settle') -- from now on its run deadline counts
  redis.call('HSET', record, 'holder', holder, 'started', started, 'begun', integer(now), 'percent', 0)
  redis.call('HDEL', record, 'waiting_code', 'waiting_message', 'start_used')
  return_to_slot(task_id, fields[5], attempt)
elseif state == 'running' and fields[4] ~= holder then
  return { 'held' }
elseif state ~= 'running' then
  return { 'refused', state }
end
return { 'started', fields[5], redis.call('GET', key('input', task_id)), fields[6], started, integer(wall),
  integer(begun + tonumber(fields[8]) - now), fields[9],
  redis.call('GET', key('checkpoint', task_id)), tonumber(fields[11] or 0), tonumber(fields[12] or 0) }
