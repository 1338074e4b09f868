#!lua flags=no-writes
-- -> { rows of { type, state, tasks }, rows of { type, slots used }, queued bytes, body bytes, deliveries due }
local tasks, slots = {}, {}
for _, task_type in ipairs(task_types()) do
  for state in pairs(MOVES) do
    tasks[#tasks + 1] = { task_type, state, redis.call('ZCARD', key('index', state, task_type)) }
  end
  slots[#slots + 1] = { task_type, redis.call('ZCARD', key('slots', task_type)) }
end
local totals = redis.call('HMGET', key('totals'), 'queued_bytes', 'body_bytes')
return { tasks, slots, totals[1] or '0', totals[2] or '0', redis.call('ZCARD', key('deliveries')) }
