#!lua
-- Keeps the output of an attempt, and deletes the oldest logs above the bounds. It lacks the flag allow-oom, so a full Redis
-- keeps no logs.
-- ARGV: task_id, attempt, entry ('': it is kept already), whether it may replace an earlier entry of the attempt (1 | 0),
--       bytes of all logs at most, owner, whether the log is complete (1 | 0)
-- -> 1, or 0 if nothing was kept: the task does not exist, the entry is empty, or the earlier entry stays; NOTLEADING
local DROPPED_AT_A_TIME = 100
if not leads(ARGV[6]) then
  return redis.error_reply(NOT_LEADING)
end
local task_id, attempt, entry = ARGV[1], ARGV[2], ARGV[3]
local log = key('log', task_id)
local before = redis.call('HSTRLEN', log, attempt)
local exists = redis.call('EXISTS', key('task', task_id)) == 1
local keeps = exists and #entry > EMPTY_LOG and (before == 0 or ARGV[4] == '1')
if exists and ARGV[7] == '1' and redis.call('HGET', key('task', task_id), 'attempt') == attempt then
  redis.call('HSET', key('task', task_id), 'logged', attempt)
end
if keeps then
  redis.call('HSET', log, attempt, entry)
  count_log(task_id, before > 0 and #entry - before or #entry + LOG_ENTRY_BYTES)
  redis.call('ZADD', key('logs'), integer(now_milliseconds()), task_id)
end
trim_log(task_id, tonumber(redis.call('HGET', log, 'bytes') or 0))
make_room_for_logs(tonumber(ARGV[5]), DROPPED_AT_A_TIME)
return keeps and 1 or 0
