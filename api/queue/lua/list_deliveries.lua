#!lua flags=no-writes
-- Deliveries that are open, or given up, newest task first: one step, of which those of a host are told.
-- ARGV: 'pending' or 'dead', host or '', cursor (exclusive, or ''), step
-- -> { how many there are of all hosts, cursor of the next step or false, views }
local index, host, cursor, step = key('deliveries', ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
local found = redis.call('ZREVRANGEBYLEX', index, cursor == '' and '+' or '(' .. cursor, '-', 'LIMIT', 0, step)
local views = {}
for _, task_id in ipairs(found) do
  local result_url = redis.call('HGET', key('task', task_id), 'result_url')
  if result_url and is_of_host(result_url, host) then
    views[#views + 1] = view(task_id)
  end
end
return { redis.call('ZCARD', index), #found == step and found[step], views }
