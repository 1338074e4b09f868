#!lua flags=allow-oom
-- Advances the steady clock by the time that passed on the monotonic clock of a service's machine, whatever the wall clock of
-- Redis did meanwhile. For a machine that has never ticked, the wall clock since the last tick is used.
-- ARGV: the name of a monotonic clock, which is the same for all processes on a machine until it boots; its milliseconds
-- -> the steady clock, in milliseconds
local MOST_SOURCES = 16
local source, monotonic = 'source:' .. ARGV[1], tonumber(ARGV[2])
local steady, wall = key('steady'), wall_milliseconds()
local before = redis.call('HMGET', steady, 'now', 'wall', source)

local now
if not before[1] then
  now = wall
elseif before[3] then
  local its_monotonic, its_now = string.match(before[3], '^(%d+) (%d+)$')
  now = math.max(tonumber(before[1]), tonumber(its_now) + math.max(0, monotonic - tonumber(its_monotonic)))
else
  now = tonumber(before[1]) + math.max(0, wall - tonumber(before[2]))
end
redis.call('HSET', steady, 'now', integer(now), 'wall', integer(wall),
  source, string.format('%d %d', monotonic, now))

if not before[3] then
  local sources, oldest, oldest_now = 0, false, math.huge
  local fields = redis.call('HGETALL', steady)
  for index = 1, #fields, 2 do
    if string.sub(fields[index], 1, 7) == 'source:' then
      sources = sources + 1
      local its_now = tonumber(string.match(fields[index + 1], ' (%d+)$'))
      if fields[index] ~= source and its_now < oldest_now then
        oldest, oldest_now = fields[index], its_now
      end
    end
  end
  if sources > MOST_SOURCES then
    redis.call('HDEL', steady, oldest)
  end
end
return integer(now)
