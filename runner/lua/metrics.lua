-- Put before every verb, after bytes.lua: counters and histograms for Prometheus. They are in Redis and change in the same step as
-- the task, so they are exact, whichever process makes the step, and survive every service.
-- Each task type has a hash of its own. Their number is bounded: further types are counted together, under a name that no type can have.

local OTHER_TYPES = '_other'

-- Upper bounds of the buckets of all histograms, in milliseconds.
local BUCKETS = { 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 900000, 3600000, 21600000, 86400000 }

local function counters_of(task_type)
  return key('metrics', redis.call('HEXISTS', key('metrics'), task_type) == 1 and task_type or OTHER_TYPES)
end

local function tally(task_type, name, label)
  redis.call('HINCRBY', counters_of(task_type), name .. ' ' .. label, 1)
end

-- Counts a duration in its bucket, named by the upper bound, and adds it to the sum.
local function observe(task_type, name, milliseconds)
  local counters, bucket = counters_of(task_type), 'more'
  for _, bound in ipairs(BUCKETS) do
    if milliseconds <= bound then
      bucket = integer(bound)
      break
    end
  end
  redis.call('HINCRBY', counters, name .. ' ' .. bucket, 1)
  redis.call('HINCRBY', counters, name .. ' sum', integer(math.max(0, milliseconds)))
end
