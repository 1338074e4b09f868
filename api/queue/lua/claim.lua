#!lua flags=allow-oom
-- Gives a free slot to the most urgent task of those types that have one free: state `starting`, a new attempt, a token.
-- ARGV: client, concurrency, token, owner, then for each type its name and its limit (-1: none)
-- -> { task_id, attempt, type, timeout_milliseconds } or false if no task waits or no slot is free
local client, concurrency, token, owner = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
if not leads(owner) then
  return redis.error_reply(NOT_LEADING)
end
if slots_used() >= concurrency then
  return false
end

-- The head of a type's queue; an entry whose record somebody deleted by hand is dropped.
local function head_of(task_type)
  local queue = key('queue', client, task_type)
  while true do
    local head = redis.call('ZRANGEBYLEX', queue, '-', '+', 'LIMIT', 0, 1)[1]
    if not head or redis.call('HGET', key('task', string.sub(head, 4)), 'state') == 'queued' then
      return head
    end
    redis.call('ZREM', queue, head)
  end
end

local first, first_type = nil, nil
for index = 5, #ARGV, 2 do
  local task_type, limit = ARGV[index], tonumber(ARGV[index + 1])
  if limit < 0 or redis.call('ZCARD', key('slots', task_type)) < limit then
    local head = head_of(task_type)
    if head and (not first or head < first) then
      first, first_type = head, task_type
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
local now = integer(now_milliseconds())
redis.call('HSET', record, 'token', token, 'claimed', now)
redis.call('HDEL', record, 'holder', 'waiting_code', 'waiting_message', 'stop')
redis.call('ZADD', key('slots', first_type), now, task_id .. ':' .. attempt)
return { task_id, attempt, first_type, redis.call('HGET', record, 'timeout') }
