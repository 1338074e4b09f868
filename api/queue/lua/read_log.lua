#!lua flags=no-writes
-- ARGV: task_id
-- -> false if there is no such task, else { state, type, attempt, 1 while that attempt holds its slot, entries as a flat list
--    with the sum of their bytes, 1 if its log was dropped because all logs were too large }
local task_id = ARGV[1]
local fields = redis.call('HMGET', key('task', task_id), 'state', 'type', 'attempt', 'log_dropped')
if not fields[1] then
  return false
end
local member = task_id .. ':' .. (fields[3] or '0')
local holds = redis.call('ZSCORE', key('slots', fields[2]), member) or redis.call('ZSCORE', key('suspended', fields[2]), member)
return { fields[1], fields[2], fields[3] or '0', holds and 1 or 0, redis.call('HGETALL', key('log', task_id)),
  fields[4] and 1 or 0 }
