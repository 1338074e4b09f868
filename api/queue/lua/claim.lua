#!lua flags=allow-oom
-- Gives a free slot to the most urgent task of those types that have one free: state `starting`, a new attempt, a token.
-- Tasks whose pause is over come to their queue first. What its type says of retries is on record from now on.
-- ARGV: client, concurrency, token, owner, how many attempts may be suspended,
--       then for each type its name, its limit (-1: none; suspended attempts count), its retries, the first pause before one
--       in milliseconds, and the codes of errors that call for one, each between commas
-- -> { task_id, attempt, type, timeout_milliseconds } or false if no task waits or no slot is free
local ROOM_STEP = 16
local client, concurrency, token, owner, most_suspended = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], tonumber(ARGV[5])
if not leads(owner) then
  return redis.error_reply(NOT_LEADING)
end
if slots_used() >= concurrency then
  return false
end
-- A running task may bring a result. Room is made first, so Redis never holds more than the bounds and one result for each slot.
make_room(ROOM_STEP)
local bound = bounds()
if tonumber(redis.call('HGET', key('totals'), 'kept_bytes') or 0) > bound.kept then
  retain(math.huge, math.huge, bound.kept, ROOM_STEP)
end

for _, task_id in ipairs(redis.call('ZRANGEBYSCORE', key('delayed'), '-inf', integer(now_milliseconds()), 'LIMIT', 0, 100)) do
  local fields = redis.pcall('HMGET', key('task', task_id), 'state', 'client', 'type', 'priority')
  redis.call('ZREM', key('delayed'), task_id)
  if fields[1] == 'queued' then
    redis.call('ZADD', key('queue', fields[2], fields[3]), 0, queue_member(fields[4], task_id))
  end
end

-- The head of a type's queue; an entry whose record somebody deleted or spoilt by hand is dropped, and stops no other.
local function head_of(task_type)
  local queue = key('queue', client, task_type)
  while true do
    local head = redis.call('ZRANGEBYLEX', queue, '-', '+', 'LIMIT', 0, 1)[1]
    if not head or redis.pcall('HGET', key('task', string.sub(head, 4)), 'state') == 'queued' then
      return head
    end
    redis.call('ZREM', queue, head)
  end
end

local first, first_type, retries, pause, codes
-- At the limit of suspended attempts, types with suspended attempts get no further claim.
local suspended_full = suspended_attempts() >= most_suspended
for index = 6, #ARGV, 5 do
  local task_type, limit = ARGV[index], tonumber(ARGV[index + 1])
  local suspended = redis.call('ZCARD', key('suspended', task_type))
  local unfinished = suspended + redis.call('ZCARD', key('slots', task_type))
  if not (suspended_full and suspended > 0) and (limit < 0 or unfinished < limit) then
    local head = head_of(task_type)
    if head and (not first or head < first) then
      first, first_type = head, task_type
      retries, pause, codes = ARGV[index + 2], ARGV[index + 3], ARGV[index + 4]
    end
  end
end
if not first then
  return false
end
local task_id = string.sub(first, 4)
local record = key('task', task_id)
dequeue(client, first_type, 100 - tonumber(string.sub(first, 1, 3)), task_id)
move(task_id, first_type, 'queued', 'starting')
local attempt = redis.call('HINCRBY', record, 'attempt', 1)
local now = now_milliseconds()
local fields = redis.call('HMGET', record, 'timeout', 'waits_since')
count_apart(first_type)
if fields[2] then
  observe(first_type, 'wait', now - tonumber(fields[2]))
end
redis.call('HSET', record, 'token', token, 'claimed', integer(now))
redis.call('HDEL', record, 'waits_since', 'holder', 'waiting_code', 'waiting_message', 'stop', 'retries', 'backoff', 'retry_on')
if retries ~= '0' then
  redis.call('HSET', record, 'retries', retries, 'backoff', pause, 'retry_on', codes)
end
redis.call('ZADD', key('slots', first_type), integer(now), task_id .. ':' .. attempt)
return { task_id, attempt, first_type, fields[1] }
