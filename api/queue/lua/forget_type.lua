#!lua flags=allow-oom
-- Forgets a type that no service has any more: its counters, and the place that others may have. Only if none of its tasks is kept.
-- ARGV: type, owner
-- -> 1 if it is forgotten, 0 if there is still something of it; NOTLEADING
local task_type, owner = ARGV[1], ARGV[2]
if not leads(owner) then
  return redis.error_reply(NOT_LEADING)
end
for state in pairs(MOVES) do
  if redis.call('EXISTS', key('index', state, task_type)) == 1 then
    return 0
  end
end
if redis.call('EXISTS', key('slots', task_type), key('suspended', task_type)) > 0 then
  return 0
end
redis.call('SREM', key('types'), task_type)
redis.call('HDEL', key('metrics'), task_type)
redis.call('DEL', key('metrics', task_type))
return 1
