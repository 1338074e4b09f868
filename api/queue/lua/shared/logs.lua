-- What is kept of the output of attempts: a hash for each task, with an entry for each attempt and the sum of its bytes. It is
-- bounded for each task, where the oldest attempts go first, and in total, where the logs that are oldest go first.

-- What a field counts: one that somebody has spoilt by hand counts as nothing, and retention goes on.
local function counted(field)
  local found = tonumber(field or 0)
  return found and math.abs(found) < 2 ^ 53 and found or 0 -- `nan` is not less
end

local MAX_LOGS_OF_TASK, MAX_LOG_BYTES_OF_TASK = 20, 256 * 1024

-- Deletes what is kept of a task's output. A key that somebody spoilt by hand is deleted too: it must not stop retention.
local function forget_log(task_id)
  local bytes = redis.pcall('HGET', key('log', task_id), 'bytes')
  if bytes then
    redis.call('DEL', key('log', task_id))
    redis.pcall('ZREM', key('logs'), task_id)
  end
  if type(bytes) == 'string' then
    redis.call('HINCRBY', key('totals'), 'log_bytes', integer(-counted(bytes)))
  end
end

local function attempts_of_log(task_id)
  local numbers = {}
  for _, name in ipairs(redis.call('HKEYS', key('log', task_id))) do
    numbers[#numbers + 1] = tonumber(name) -- not `bytes`
  end
  table.sort(numbers)
  return numbers
end

-- Deletes the entries of a task's oldest attempts until those that remain are within its bounds.
local function trim_log(task_id, bytes)
  local numbers = attempts_of_log(task_id)
  local number = #numbers
  for _, attempt in ipairs(numbers) do
    if number <= 1 or number <= MAX_LOGS_OF_TASK and bytes <= MAX_LOG_BYTES_OF_TASK then
      break
    end
    local length = redis.call('HSTRLEN', key('log', task_id), attempt)
    redis.call('HDEL', key('log', task_id), attempt)
    bytes = count_log(task_id, -(length + LOG_ENTRY_BYTES))
    number = number - 1
  end
end

-- Deletes the oldest logs until all are within a bound, at most `most` of them. Their tasks stay, and say so.
-- -> how many were deleted
local function make_room_for_logs(max_bytes, most)
  for number = 1, most do
    if tonumber(redis.call('HGET', key('totals'), 'log_bytes') or 0) <= max_bytes then
      return number - 1
    end
    local task_id = redis.call('ZRANGE', key('logs'), 0, 0)[1]
    if not task_id then
      return number - 1
    end
    forget_log(task_id)
    redis.call('ZREM', key('logs'), task_id)
    if redis.call('EXISTS', key('task', task_id)) == 1 then
      redis.call('HSET', key('task', task_id), 'log_dropped', 1)
    end
  end
  return most
end
