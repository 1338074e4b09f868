#!lua flags=allow-oom
-- Leases due deliveries to one sender: first to receivers that answer, then to new ones, then to
-- slow ones, which have a bound for each account. A receiver that was served goes to the end of its lane. A lease that
-- expires makes its delivery due again; a delivery with too many expired leases in a row is given up.
-- ARGV: lease_milliseconds, token, and the room as JSON: { quick, again: { places, used_bytes, max_bytes },
--       unknown: places of `quick`, per_receiver, per_unknown, per_account, known_per_account, share_bytes, small_bytes,
--       receivers, accounts (of `again`), known_accounts: { name: { places used, bytes used } } }
-- -> { milliseconds until there may be more to claim or false,
--      rows of { task_id, result_url, attempts, lane, host, account, body bytes } }
local lease, token, room = tonumber(ARGV[1]), ARGV[2], cjson.decode(ARGV[3])
local REACH, FORGET, MAX_RECEIVERS, MAX_LOST = 100, 500, 10000, 12
local PAUSE_MILLISECONDS = 50
local now = now_milliseconds()
local rows, nearest = {}, false

local function sooner(milliseconds)
  nearest = nearest and math.min(nearest, milliseconds) or milliseconds
end

local function used_by(users, name)
  users[name] = users[name] or { 0, 0 }
  return users[name]
end

-- Whether a body may be read now. A body larger than its bound waits until it is alone. The first that waits
-- for the pool keeps its turn, and others that are not small wait behind it.
local function fits(pool, holders, host, bytes)
  if bytes <= room.small_bytes then
    return true
  end
  for _, used in ipairs(holders) do
    if used[2] > 0 and used[2] + bytes > room.share_bytes then
      return false
    end
  end
  if pool.waits_for or pool.used_bytes > 0 and pool.used_bytes + bytes > pool.max_bytes then
    pool.waits_for = pool.waits_for or host
    return false
  end
  return true
end

-- -> the record of a delivery, or false if there is none; a damaged record does not stop other deliveries
local function look_up(task_id)
  local fields = redis.pcall('HMGET', key('task', task_id), 'result_url', 'delivery', 'delivery_attempts', 'delivery_before',
    'delivery_lost')
  if fields.err or not fields[1] or fields[2] ~= 'pending' and fields[2] ~= 'sending' then
    return false
  end
  local bytes = redis.pcall('STRLEN', key('body', task_id))
  return {
    url = fields[1],
    bytes = type(bytes) == 'number' and bytes or 0,
    tries = tonumber(fields[3] or 0) - tonumber(fields[4] or 0),
    lost = tonumber(fields[5] or 0) + (fields[2] == 'sending' and 1 or 0),
  }
end

local function give_up(task_id)
  local record = key('task', task_id)
  set_delivery(task_id, 'dead')
  redis.call('HDEL', record, 'delivery_token', 'delivery_lost')
  redis.call('HSET', record, 'delivery_error', MAX_LOST + 1 .. ' attempts in a row ended without a record of how')
  redis.call('HINCRBY', key('totals'), 'tries_dead', 1)
  announce(task_id, 'dead')
end

local function lease_to_sender(task_id, found, due)
  redis.call('ZADD', due, integer(now + lease), task_id)
  set_delivery(task_id, 'sending')
  redis.call('HSET', key('task', task_id), 'delivery_token', token)
  if found.lost > 0 then
    redis.call('HSET', key('task', task_id), 'delivery_lost', found.lost)
  end
end

local function take(lane, pool, host, account, most)
  local due, holders, taken = key('due', host), { used_by(room.receivers, host) }, 0
  if lane == 'again' then
    holders[2] = used_by(room.accounts, account)
  elseif lane == 'known' then
    local here = used_by(room.known_accounts, account)
    most = math.max(0, math.min(most, room.known_per_account - here[1]))
  end
  for _, task_id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', integer(now), 'LIMIT', 0, most)) do
    local found = look_up(task_id)
    if not found then
      redis.call('ZREM', due, task_id)
    elseif found.lost > MAX_LOST then
      give_up(task_id)
      redis.call('ZREM', due, task_id)
    elseif fits(pool, holders, host, found.bytes) then
      lease_to_sender(task_id, found, due)
      rows[#rows + 1] = { task_id, found.url, integer(found.tries), lane, host, account, found.bytes }
      local large = found.bytes > room.small_bytes and found.bytes or 0
      for _, used in ipairs(holders) do
        used[1], used[2] = used[1] + 1, used[2] + large
      end
      if lane == 'known' then
        room.known_accounts[account][1] = room.known_accounts[account][1] + 1
      end
      pool.places, pool.used_bytes, taken = pool.places - 1, pool.used_bytes + large, taken + 1
    else
      break
    end
  end
  return taken
end

-- Puts a receiver at the end of its lane, where its turn comes when it has something due.
local function put_right(index, host)
  local earliest = redis.call('ZRANGE', key('due', host), 0, 0, 'WITHSCORES')
  if earliest[2] then
    redis.call('ZADD', index, integer(math.max(tonumber(earliest[2]), now)), host)
  else
    redis.call('ZREM', index, host)
  end
end

local function due_in(index, most)
  local found = redis.call('ZRANGEBYSCORE', index, '-inf', integer(now), 'LIMIT', 0, most)
  if #found == most then
    sooner(#rows > 0 and 0 or PAUSE_MILLISECONDS)
  end
  return found
end

local function look_ahead(index)
  local later = redis.call('ZRANGEBYSCORE', index, '(' .. integer(now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if later[2] then
    sooner(tonumber(later[2]) - now)
  end
end

-- Serves the receivers of a lane in turn. -> how many deliveries were taken
local function serve(lane, index, pool, places, per_receiver, reach)
  local taken = 0
  for _, host in ipairs(due_in(index, reach)) do
    if taken >= places then
      break
    end
    local standing, account = receiver(host)
    if index ~= key('hosts', lane_of(standing), lane_of(standing) == 'again' and account or nil) then
      redis.call('ZREM', index, host)
      put_in_lane(host, integer(now))
      sooner(0)
    else
      local most = math.min(places - taken, per_receiver - used_by(room.receivers, host)[1])
      if most > 0 then
        taken = taken + take(lane, pool, host, account, most)
      end
      if pool.waits_for ~= host then
        put_right(index, host)
      end
    end
  end
  return taken
end

local function serve_lane(lane, places, per_receiver)
  if places > 0 then
    serve(lane, key('hosts', lane), room.quick, places, per_receiver, places + REACH)
    look_ahead(key('hosts', lane))
  end
end

local function serve_accounts()
  local accounts = key('hosts', 'again')
  for _, account in ipairs(due_in(accounts, room.again.places + REACH)) do
    if room.again.places <= 0 then
      break
    end
    local index = key('hosts', 'again', account)
    local places = math.min(room.again.places, room.per_account - used_by(room.accounts, account)[1])
    if places > 0 then
      serve('again', index, room.again, places, room.per_receiver, places + room.per_account)
    end
    local earliest = redis.call('ZRANGE', index, 0, 0, 'WITHSCORES')
    if earliest[2] then
      redis.call('ZADD', accounts, integer(math.max(tonumber(earliest[2]), now)), account)
    else
      redis.call('ZREM', accounts, account)
    end
  end
  look_ahead(accounts)
end

local function forget(names)
  if #names > 0 then
    redis.call('HDEL', key('receivers'), unpack(names))
    redis.call('ZREM', key('receivers_known'), unpack(names))
  end
end

forget(redis.call('ZRANGEBYSCORE', key('receivers_known'), '-inf', integer(now), 'LIMIT', 0, FORGET))
local too_many = redis.call('ZCARD', key('receivers_known')) - MAX_RECEIVERS
if too_many > 0 then
  forget(redis.call('ZRANGE', key('receivers_known'), 0, math.min(too_many, FORGET) - 1))
end
serve_lane('known', room.quick.places, room.per_receiver)
serve_lane('first', math.min(room.quick.places, room.unknown), room.per_unknown)
if room.again.places > 0 then
  serve_accounts()
end
return { nearest and integer(nearest) or false, rows }
