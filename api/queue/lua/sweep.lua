#!lua flags=allow-oom
-- Retention: one small step. Also drops results if too many bytes wait for delivery.
-- A forgotten id is remembered for as long again, in bounded number, so that its absence can be explained.
-- ARGV: max_age_milliseconds, max_count, max_bytes, step
-- -> { how many tasks were forgotten, JSON of { task_id, receiver, bytes } for each result that was dropped }
local max_age, max_count, max_bytes, step = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
redis.call('ZREMRANGEBYSCORE', key('swept'), '-inf', integer(now_milliseconds() - max_age))
local forgotten = retain(max_age, max_count, max_bytes, step)
make_room(step)
return { forgotten, redis.call('LPOP', key('dropped'), step) or {} }
