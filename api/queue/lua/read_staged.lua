#!lua flags=no-writes
-- ARGV: task_id
-- -> the result that was handed over for a task, as JSON, or false
return redis.call('GET', key('staged', ARGV[1]))
