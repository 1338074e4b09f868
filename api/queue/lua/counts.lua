#!lua flags=no-writes
-- ARGV: client
-- -> { rows of { type, state, tasks }, rows of { type, slots used }, { queued, kept, undelivered bytes, results dropped,
--      bytes of logs, idempotency keys }, open deliveries,
--      deliveries given up, milliseconds that the earliest due one is late, rows of { status, tries that led to it } }
local tasks, slots = {}, {}
for _, task_type in ipairs(task_types()) do
  for state in pairs(MOVES) do
    tasks[#tasks + 1] = { task_type, state, redis.call('ZCARD', key('index', state, task_type)) }
  end
  slots[#slots + 1] = { task_type, redis.call('ZCARD', key('slots', task_type)) }
end
local totals = redis.call('HMGET', key('totals'), 'queued_bytes', 'kept_bytes', 'undelivered_bytes', 'dropped', 'log_bytes')
for index = 1, 5 do
  totals[index] = totals[index] or '0'
end
totals[6] = integer(number_of_keys(ARGV[1]))
-- Lanes are served in turn, so a score is the order and not the due time: only the next receivers are read.
local GLANCE = 100
local late, now = 0, now_milliseconds()

local function look_at(lane)
  for _, host in ipairs(redis.call('ZRANGE', lane, 0, GLANCE - 1)) do
    local earliest = redis.call('ZRANGE', key('due', host), 0, 0, 'WITHSCORES')
    late = math.max(late, earliest[2] and now - tonumber(earliest[2]) or 0)
  end
end

look_at(key('hosts', 'known'))
look_at(key('hosts', 'first'))
for _, account in ipairs(redis.call('ZRANGE', key('hosts', 'again'), 0, GLANCE / 10 - 1)) do
  look_at(key('hosts', 'again', account))
end
local tries = {}
for _, status in ipairs({ 'delivered', 'pending', 'dead', 'blocked' }) do
  tries[#tries + 1] = { status, redis.call('HGET', key('totals'), 'tries_' .. status) or '0' }
end
return { tasks, slots, totals, redis.call('ZCARD', key('deliveries', 'pending')),
  redis.call('ZCARD', key('deliveries', 'dead')), integer(late), tries }
