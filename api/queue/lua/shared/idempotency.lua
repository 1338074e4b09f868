-- Idempotency keys: each takes one small, fixed size in a hash for each hour, which
-- is deleted as a whole. A list names all hashes, so that no step of the clock hides one.
-- Keys and bodies come as digests of 16 bytes.

local HOUR_MILLISECONDS = 3600 * 1000

local function bucket_of(client, start)
  return key('keys', client, start)
end

local function packed(task_id)
  local text = string.gsub(string.gsub(task_id, '-', ''), '%x%x', function(pair) return string.char(tonumber(pair, 16)) end)
  return text
end

local function unpacked(bytes)
  local text = string.gsub(bytes, '.', function(byte) return string.format('%02x', string.byte(byte)) end)
  return table.concat({ string.sub(text, 1, 8), string.sub(text, 9, 12), string.sub(text, 13, 16), string.sub(text, 17, 20),
    string.sub(text, 21) }, '-')
end

-- The starts of the hashes whose keys are still remembered, oldest first; earlier hashes are deleted.
local function buckets(client, lifetime)
  local starts, oldest = key('keys', client), now_milliseconds() - lifetime - HOUR_MILLISECONDS
  local first = redis.call('LINDEX', starts, 0)
  while first and tonumber(first) <= oldest do
    redis.call('DEL', bucket_of(client, first))
    redis.call('LPOP', starts)
    first = redis.call('LINDEX', starts, 0)
  end
  return redis.call('LRANGE', starts, 0, -1)
end

local function number_of_keys(client)
  local number = 0
  for _, start in ipairs(redis.call('LRANGE', key('keys', client), 0, -1)) do
    number = number + redis.call('HLEN', bucket_of(client, start))
  end
  return number
end

-- The task that a key was used for, and the digest of its body; nil for a new key.
local function known_task(client, key_digest, lifetime)
  for _, start in ipairs(buckets(client, lifetime)) do
    local found = redis.call('HGET', bucket_of(client, start), key_digest)
    if found then
      return unpacked(string.sub(found, 1, 16)), string.sub(found, 17)
    end
  end
end

-- nil if another key can be remembered, else the milliseconds until some are forgotten.
local function wait_for_room(client, lifetime, max_keys)
  local oldest = redis.call('LINDEX', key('keys', client), 0)
  if oldest and number_of_keys(client) >= max_keys then
    return integer(tonumber(oldest) + lifetime + HOUR_MILLISECONDS - now_milliseconds())
  end
end

local function remember_key(client, key_digest, task_id, digest)
  local starts, now = key('keys', client), now_milliseconds()
  local start = redis.call('LINDEX', starts, -1)
  if not start or now - tonumber(start) >= HOUR_MILLISECONDS then
    start = integer(now)
    redis.call('RPUSH', starts, start)
  end
  redis.call('HSET', bucket_of(client, start), key_digest, packed(task_id) .. digest)
end
