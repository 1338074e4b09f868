-- Put before every verb, after bytes.lua: the moves between states, the queue, slots and leases.
-- KEYS[1] is the instance's prefix, a hash tag, so that every key of an instance lies in one slot.
-- Payloads (input, body) are opaque here. Times are milliseconds of Redis TIME.

local RECORD_VERSION = '1'

-- The same table as `MOVES` in runner/contract.py; a test walks both.
local MOVES = {
  queued = { starting = true, failed = true, cancelled = true },
  starting = { running = true, queued = true, failed = true, cancelled = true },
  running = { done = true, failed = true, cancelled = true, queued = true, starting = true },
  done = {},
  failed = {},
  cancelled = {},
}

-- Time for people and for ids. This clock may be set to anything at any moment.
local function wall_milliseconds()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- How far the steady clock follows the wall clock between two ticks. Every service ticks once a second (tick.lua).
local LONGEST_UNTICKED_MILLISECONDS = 3000

-- Time for deadlines, leases, pauses and ages, in milliseconds. A step of the wall clock does not move it.
-- Before the first tick it is the wall clock.
local function now_milliseconds()
  local wall = wall_milliseconds()
  local ticked = redis.call('HMGET', key('steady'), 'now', 'wall')
  if not ticked[1] then
    return wall
  end
  return tonumber(ticked[1]) + math.max(0, math.min(wall - tonumber(ticked[2]), LONGEST_UNTICKED_MILLISECONDS))
end

local known_types

local function task_types()
  known_types = known_types or redis.call('SMEMBERS', key('types'))
  return known_types
end

-- Sets of a queue order their members as text: a priority from 000 (most urgent) to 200, then the id, which rises.
local function queue_member(priority, task_id)
  return string.format('%03d', 100 - tonumber(priority or 0)) .. task_id
end

local function queue_position(client, priority, task_id)
  local before = '(' .. queue_member(priority, task_id)
  local position = 1
  for _, task_type in ipairs(task_types()) do
    position = position + redis.call('ZLEXCOUNT', key('queue', client, task_type), '-', before)
  end
  return position
end

-- What happened to a task, for whoever wants to follow it.
local function announce(task_id, what)
  redis.call('PUBLISH', key('changes'), task_id .. ' ' .. what)
end

-- Wakes a duty of the controller: dispatch, settle, deliver or retain.
local function wake(duty)
  redis.call('PUBLISH', key('wakeups'), duty)
end

-- The one place where a state changes, is indexed and is announced.
local function move(task_id, task_type, from, to)
  if not MOVES[from] or not MOVES[from][to] then
    return false
  end
  redis.call('ZREM', key('index', from, task_type), task_id)
  redis.call('ZADD', key('index', to, task_type), 0, task_id)
  redis.call('HSET', key('task', task_id), 'state', to)
  announce(task_id, to)
  if to == 'cancelled' then
    wake('settle')
  elseif to == 'running' and redis.call('HEXISTS', key('task', task_id), 'unbegun') == 1 then
    redis.call('HSET', key('task', task_id), 'unbegun', 0)
  end
  return true
end

-- What a task holds while it waits: its input, what an attempt before has saved, and why those before were lost.
local function waiting_bytes(task_id)
  return redis.call('STRLEN', key('input', task_id)) + redis.call('STRLEN', key('checkpoint', task_id))
    + tonumber(redis.call('HGET', key('task', task_id), 'past_bytes') or 0)
end

-- `bytes` is what the task holds, if the caller knows.
local function enqueue(client, task_type, priority, task_id, bytes)
  redis.call('ZADD', key('queue', client, task_type), 0, queue_member(priority, task_id))
  redis.call('HINCRBY', key('totals'), 'queued_bytes', bytes or waiting_bytes(task_id))
end

local function dequeue(client, task_type, priority, task_id)
  redis.call('ZREM', key('queue', client, task_type), queue_member(priority, task_id))
  redis.call('ZREM', key('delayed'), task_id)
  redis.call('HINCRBY', key('totals'), 'queued_bytes', -waiting_bytes(task_id))
end

-- A task that is to be tried again after a pause is queued, but stands in no queue until then.
local function delay(task_id, milliseconds)
  redis.call('ZADD', key('delayed'), integer(now_milliseconds() + milliseconds), task_id)
  redis.call('HINCRBY', key('totals'), 'queued_bytes', waiting_bytes(task_id))
end

-- Within an attempt the figure never goes back. `words` are those beside it; '' leaves them.
local function set_progress(task_id, before, tenths, words)
  if words ~= '' then
    redis.call('HSET', key('task', task_id), 'message', words)
  end
  if tonumber(tenths) > tonumber(before or 0) then
    redis.call('HSET', key('task', task_id), 'percent', tenths)
  end
end

-- Drops what the runner of a program has handed over.
local function unstage(task_id)
  redis.call('HDEL', key('task', task_id), 'staged_code', 'staged_message')
  redis.call('DEL', key('staged', task_id))
end

local LONGEST_BACKOFF_MILLISECONDS = 3600 * 1000

-- Whether an attempt that failed with a code is to be followed by another: `asked` says that the task asked for one.
local function may_retry(task_id, code, asked)
  local fields = redis.call('HMGET', key('task', task_id), 'retries', 'retried', 'retry_on')
  if tonumber(fields[2] or 0) >= tonumber(fields[1] or 0) then
    return false
  end
  return asked or string.find(fields[3] or '', ',' .. code .. ',', 1, true) ~= nil
end

-- The pause before the next attempt: what the task asked for, else twice the last one, varied by up to a tenth each way.
local function backoff(task_id)
  local fields = redis.call('HMGET', key('task', task_id), 'retried', 'backoff', 'retry_delay')
  if fields[3] and fields[3] ~= '' then
    return tonumber(fields[3])
  end
  local pause = math.min(tonumber(fields[2] or 0) * 2 ^ tonumber(fields[1] or 0), LONGEST_BACKOFF_MILLISECONDS)
  local chance = tonumber(redis.call('TIME')[2]) % 1000 / 1000
  return math.floor(pause * (0.9 + 0.2 * chance))
end

-- Returns who has the lease of the leader, or false if it is free.
local function leader()
  local until_milliseconds = redis.call('HGET', key('steady'), 'leader_until')
  if until_milliseconds and tonumber(until_milliseconds) <= now_milliseconds() then
    return false
  end
  return redis.call('GET', key('leader'))
end

local MAX_ATTEMPTS_TOLD, MAX_BYTES_TOLD = 20, 4096

-- Records when and why an attempt was lost, failed or interrupted, for people; bounded in number and bytes.
local function keep_past_attempt(task_id, attempt, code, message)
  local attempts, record = key('attempts', task_id), key('task', task_id)
  local past = cjson.encode({ tonumber(attempt), wall_milliseconds(), code, message })
  local number, bytes = redis.call('RPUSH', attempts, past), redis.call('HINCRBY', record, 'past_bytes', #past)
  while number > MAX_ATTEMPTS_TOLD or bytes > MAX_BYTES_TOLD and number > 1 do
    bytes = redis.call('HINCRBY', record, 'past_bytes', -#redis.call('LPOP', attempts))
    number = number - 1
  end
end

-- What the leader's verbs answer to everybody else.
local NOT_LEADING = 'NOTLEADING another service has the lease of the leader'

-- Whether a service may dispatch and settle: the lease is its own. '' asks for no lease.
local function leads(owner)
  return owner == '' or leader() == owner
end

local function free_slot(task_id, task_type, attempt)
  local member = task_id .. ':' .. attempt
  local freed = redis.call('ZREM', key('slots', task_type), member) + redis.call('ZREM', key('suspended', task_type), member)
  if freed == 1 then
    announce(task_id, 'released')
    wake('dispatch')
  end
  return freed
end

-- Whether an attempt waits for its release: during that time its start deadline stands still.
local function waits_for_release(code)
  return code == 'suspended' or code == 'terminating'
end

-- An attempt whose Job is suspended gives its slot to others. `suspended` is when it began to wait, by the steady clock.
local function leave_slot(task_id, task_type, attempt)
  local member, now = task_id .. ':' .. attempt, integer(now_milliseconds())
  if redis.call('ZREM', key('slots', task_type), member) == 1 then
    redis.call('ZADD', key('suspended', task_type), now, member)
    redis.call('HSET', key('task', task_id), 'suspended', now)
    wake('dispatch')
  end
end

-- A released attempt has a slot again at once, even if all are taken: its pod may be running already.
local function return_to_slot(task_id, task_type, attempt)
  local member = task_id .. ':' .. attempt
  if redis.call('ZREM', key('suspended', task_type), member) == 1 then
    redis.call('ZADD', key('slots', task_type), integer(now_milliseconds()), member)
    redis.call('HDEL', key('task', task_id), 'suspended')
  end
end

local function suspended_attempts()
  local number = 0
  for _, task_type in ipairs(task_types()) do
    number = number + redis.call('ZCARD', key('suspended', task_type))
  end
  return number
end

local function slots_used()
  local used = 0
  for _, task_type in ipairs(task_types()) do
    used = used + redis.call('ZCARD', key('slots', task_type))
  end
  return used
end
