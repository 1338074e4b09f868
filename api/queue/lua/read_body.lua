#!lua flags=no-writes
-- ARGV: task_id
-- -> { state or false, body or false, 1 if retention took the task or its body, why the result was dropped or false }
local task_id = ARGV[1]
local fields = redis.call('HMGET', key('task', task_id), 'state', 'dropped')
local body = redis.call('GET', key('body', task_id))
local swept = redis.call('ZSCORE', key('swept'), task_id) and 1 or 0
return { fields[1], body, swept, fields[2] }
