#!lua
-- Puts a task in the queue, unless its idempotency key is known or a limit of the queue is reached.
-- The id is a UUIDv7 of Redis TIME with a counter (RFC 9562, 6.2, method 1), so that ids rise in the order of submission.
-- ARGV: client, type, priority, result_url, timeout_milliseconds, input, random, max_length, max_bytes,
--       idempotency_key, digest, idempotency_milliseconds
-- -> { 'accepted' | 'replayed', view } or { 'conflict' | 'expired', task_id } or { 'full_length' | 'full_bytes', now }
local client, task_type, priority, result_url, timeout = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local input, random, max_length, max_bytes = ARGV[6], ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9])
local idempotency_key, digest, idempotency_lifetime = ARGV[10], ARGV[11], ARGV[12]

local known_key = key('idempotency', client, idempotency_key)
if idempotency_key ~= '' then
  local known = redis.call('GET', known_key)
  if known then
    local task_id = string.sub(known, 1, 36)
    if string.sub(known, 38) ~= digest then
      return { 'conflict', task_id }
    end
    if redis.call('EXISTS', key('task', task_id)) == 0 then
      return { 'expired', task_id }
    end
    return { 'replayed', view(task_id) }
  end
end

local length = 0
for _, known_type in ipairs(task_types()) do
  length = length + redis.call('ZCARD', key('index', 'queued', known_type))
end
if length >= max_length then
  return { 'full_length', length }
end
local totals = key('totals')
local bytes = tonumber(redis.call('HGET', totals, 'queued_bytes') or 0)
if bytes + #input > max_bytes then
  return { 'full_bytes', bytes }
end

local created = wall_milliseconds()
local clock = redis.call('HMGET', totals, 'clock', 'counter')
local last, counter = tonumber(clock[1] or 0), 0
if created <= last then
  created, counter = last, tonumber(clock[2]) + 1
  if counter > 4095 then
    created, counter = last + 1, 0
  end
end
redis.call('HSET', totals, 'clock', integer(created), 'counter', counter)
local milliseconds = string.format('%012x', created)
local task_id = string.format('%s-%s-7%03x-%s-%s', string.sub(milliseconds, 1, 8), string.sub(milliseconds, 9),
  counter, string.sub(random, 1, 4), string.sub(random, 5))

local record = { 'version', RECORD_VERSION, 'client', client, 'type', task_type, 'state', 'queued',
  'priority', priority, 'created', integer(created), 'timeout', timeout }
if result_url ~= '' then
  record[#record + 1] = 'result_url'
  record[#record + 1] = result_url
end
redis.call('HSET', key('task', task_id), unpack(record))
redis.call('SET', key('input', task_id), input)
redis.call('SADD', key('types'), task_type)
redis.call('ZADD', key('index', 'queued', task_type), 0, task_id)
enqueue(client, task_type, priority, task_id, #input)
if idempotency_key ~= '' then
  redis.call('SET', known_key, task_id .. ' ' .. digest, 'PX', idempotency_lifetime)
end
announce(task_id, 'queued')
-- If others of its type wait, either no slot is free for them, and the next one freed wakes the dispatcher, or it is at work.
if redis.call('ZCARD', key('queue', client, task_type)) == 1 then
  wake('dispatch')
end
return { 'accepted', { task_id, record, queue_position(client, priority, task_id), false, {} } }
