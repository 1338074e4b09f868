#!lua flags=no-writes
-- -> { upper bounds of the buckets in milliseconds, most types that are counted apart, rows of { type, its counters as a flat list },
--      rows of { result, deliveries that ended so } }
local rows, results = {}, {}
for _, task_type in ipairs(redis.call('HKEYS', key('metrics'))) do
  rows[#rows + 1] = { task_type, redis.call('HGETALL', key('metrics', task_type)) }
end
local others = redis.call('HGETALL', key('metrics', OTHER_TYPES))
if #others > 0 then
  rows[#rows + 1] = { OTHER_TYPES, others }
end
for _, result in ipairs({ 'delivered', 'dead', 'blocked', 'given_up', 'dropped' }) do
  results[#results + 1] = { result, redis.call('HGET', key('totals'), 'deliveries_' .. result) or '0' }
end
return { BUCKETS, MAX_COUNTED_TYPES, rows, results }
