#!lua
-- Puts a task in the queue, unless its idempotency key is known or a limit of the queue is reached.
-- The id is a UUIDv7 of Redis TIME with a counter (RFC 9562, 6.2, method 1), so that ids rise in the order of submission.
-- ARGV: client, type, priority, result_url, timeout_milliseconds, input, random, max_length, max_bytes,
--       kept bytes, undelivered bytes, those for each receiver,
--       digest of the idempotency key, digest of the body, idempotency_milliseconds, max_keys
-- -> { 'accepted', { task_id, created, place in the queue } } or { 'replayed', view }
--    or { 'conflict' | 'expired', task_id } or { 'full_length' | 'full_bytes', now }
--    or { 'full_receiver' | 'full_undelivered', bytes that wait } or { 'full_keys', milliseconds until there is room }
local client, task_type, priority, result_url, timeout = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local input, random, max_length, max_bytes = ARGV[6], ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9])
local idempotency_key, digest, idempotency_lifetime, max_keys = ARGV[13], ARGV[14], tonumber(ARGV[15]), tonumber(ARGV[16])

if idempotency_key ~= '' then
  local task_id, known_digest = known_task(client, idempotency_key, idempotency_lifetime)
  if task_id then
    if known_digest ~= digest then
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
local known = redis.call('HMGET', totals, 'queued_bytes', 'bounds')
local bytes = tonumber(known[1] or 0)
if bytes + #input > max_bytes then
  return { 'full_bytes', bytes }
end
local given = table.concat({ ARGV[10], ARGV[11], ARGV[12], ARGV[9] }, ' ')
if known[2] ~= given then
  redis.call('HSET', totals, 'bounds', given)
end
local receiver_host = host_of(result_url)
local full = result_url ~= '' and no_room(receiver_host)
if full then
  return full
end
local wait = idempotency_key ~= '' and wait_for_room(client, idempotency_lifetime, max_keys)
if wait then
  return { 'full_keys', wait }
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
  'priority', priority, 'created', integer(created), 'timeout', timeout, 'waits_since', integer(now_milliseconds()) }
if result_url ~= '' then
  for _, word in ipairs({ 'result_url', result_url, 'expected', '1' }) do
    record[#record + 1] = word
  end
  redis.call('HINCRBY', key('expected'), receiver_host, 1)
end
redis.call('HSET', key('task', task_id), unpack(record))
redis.call('SET', key('input', task_id), input)
redis.call('SADD', key('types'), task_type)
redis.call('ZADD', key('index', 'queued', task_type), 0, task_id)
enqueue(client, task_type, priority, task_id, #input)
if idempotency_key ~= '' then
  remember_key(client, idempotency_key, task_id, digest)
end
announce(task_id, 'queued')
-- If others of its type wait, either no slot is free for them, and the next one freed wakes the dispatcher, or it is at work.
if redis.call('ZCARD', key('queue', client, task_type)) == 1 then
  wake('dispatch')
end
return { 'accepted', { task_id, integer(created), queue_position(client, priority, task_id) } }
