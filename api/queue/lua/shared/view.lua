-- All that is shown of one task: its id, its record as a flat list, its place in the queue, its next delivery try, and
-- its attempts that were lost or failed, as JSON.
local function view(task_id)
  local record = redis.call('HGETALL', key('task', task_id))
  local named = {}
  for index = 1, #record, 2 do
    named[record[index]] = record[index + 1]
  end
  local position = false
  if named.state == 'queued' then
    position = queue_position(named.client, named.priority, task_id)
  end
  local due = false
  if named.delivery == 'pending' then
    due = redis.call('ZSCORE', key('due', host_of(named.result_url)), task_id)
    due = due and integer(due - now_milliseconds() + wall_milliseconds())
  end
  local past = {}
  if named.losses or named.retried or named.suspensions or named.unbegun then
    past = redis.call('LRANGE', key('attempts', task_id), 0, -1)
  end
  return { task_id, record, position, due, past }
end
