#!lua flags=allow-oom
-- Retention: one small step. Also drops results if too many bytes wait for delivery, and the oldest logs above their bound.
-- A forgotten id is remembered for as long again, in bounded number, so that its absence can be explained.
-- ARGV: max_age_milliseconds, max_count, max_bytes, bytes of all logs at most, step
-- -> { how many tasks were forgotten, JSON of { task_id, receiver, bytes } for each result that was dropped, how many logs were
--      deleted, how many tasks were skipped because they are still needed, the number of ended tasks }
local max_age, max_count, max_bytes = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local max_log_bytes, step = tonumber(ARGV[4]), tonumber(ARGV[5])
redis.call('ZREMRANGEBYSCORE', key('swept'), '-inf', integer(now_milliseconds() - max_age))
local has_room, fault = pcall(make_room, step)
local forgotten, passed = retain(max_age, max_count, max_bytes, step)
local has_room_for_logs, logs = pcall(make_room_for_logs, max_log_bytes, step)
if not has_room or not has_room_for_logs then -- somebody has corrupted a key: retention is done, report the fault
  fault = has_room and logs or fault
  return redis.error_reply(type(fault) == 'table' and fault.err or tostring(fault))
end
return { forgotten, redis.call('LPOP', key('dropped'), step) or {}, logs, passed, redis.call('LLEN', key('ended')) }
