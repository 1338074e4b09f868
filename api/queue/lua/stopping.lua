#!lua flags=allow-oom
-- Records that the leader is about to end an attempt, and why: a successor must not take that end for somebody else's.
-- ARGV: task_id, attempt, reason, owner
-- -> 1 if that matters: the attempt is its task's current one and has recorded no end; else 0; NOTLEADING
if not leads(ARGV[4]) then
  return redis.error_reply(NOT_LEADING)
end
local record = key('task', ARGV[1])
local fields = redis.call('HMGET', record, 'state', 'attempt')
if fields[2] ~= ARGV[2] or (fields[1] ~= 'starting' and fields[1] ~= 'running') then
  return 0
end
return redis.call('HSET', record, 'stop', ARGV[3]) and 1
