#!lua flags=allow-oom
-- Makes deliveries that were given up due at once, one small step: those of a host, or whose task ended in a span of time.
-- ARGV: host or '', finished from or '', finished before or '', cursor (exclusive, or ''), step
-- -> { how many were made due, cursor of the next step or false, for how many there was no room }
local host, from, before, cursor, step = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local dead = key('deliveries', 'dead')
local found = redis.call('ZRANGEBYLEX', dead, cursor == '' and '-' or '(' .. cursor, '+', 'LIMIT', 0, step)
local made_due, no_room_for = 0, 0
for _, task_id in ipairs(found) do
  local fields = redis.call('HMGET', key('task', task_id), 'result_url', 'finished')
  if not fields[1] then
    redis.call('ZREM', dead, task_id)
  elseif is_of_host(fields[1], host) and (not from or tonumber(fields[2]) >= from)
    and (not before or tonumber(fields[2]) < before) then
    local before = redeliver(task_id, '')
    if type(before) == 'table' then
      no_room_for = no_room_for + 1
    elseif before then
      made_due = made_due + 1
    end
  end
end
return { made_due, #found == step and found[step], no_room_for }
