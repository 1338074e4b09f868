-- Which task types have counters of their own: for the scripts of the service, which alone give and take these places.

local MAX_COUNTED_TYPES = 100

-- Gives a type counters of its own, if there is a place.
local function count_apart(task_type)
  local places = key('metrics')
  if redis.call('HEXISTS', places, task_type) == 0 and redis.call('HLEN', places) < MAX_COUNTED_TYPES then
    redis.call('HSET', places, task_type, 1)
  end
end
