#!lua flags=allow-oom
-- One page of tasks, newest first, and how many there are in all. Every task is in one index, of its state and type;
-- ids rise, so that a page is a merge of their heads below the cursor and costs what it holds.
-- An id whose record somebody deleted by hand leaves its index here.
-- ARGV: cursor (exclusive, or ''), limit, states joined by ',', type or ''
-- -> { total, cursor of the next page or false, rows of { task_id, type, percent, state, created, finished, position or false } }
local cursor, limit, only_type = ARGV[1], tonumber(ARGV[2]), ARGV[4]
local below = cursor == '' and '+' or '(' .. cursor
local total, found, index_of = 0, {}, {}
for _, task_type in ipairs(only_type == '' and task_types() or { only_type }) do
  for state in string.gmatch(ARGV[3], '[^,]+') do
    local index = key('index', state, task_type)
    total = total + redis.call('ZCARD', index)
    for _, task_id in ipairs(redis.call('ZREVRANGEBYLEX', index, below, '-', 'LIMIT', 0, limit + 1)) do
      found[#found + 1] = task_id
      index_of[task_id] = index
    end
  end
end
table.sort(found, function(left, right) return left > right end)
local rows = {}
for place = 1, math.min(limit, #found) do
  local task_id = found[place]
  local fields = redis.call('HMGET', key('task', task_id), 'type', 'percent', 'state', 'created', 'finished', 'client', 'priority')
  if fields[3] then
    local position = fields[3] == 'queued' and queue_position(fields[6], fields[7], task_id)
    rows[#rows + 1] = { task_id, fields[1], fields[2], fields[3], fields[4], fields[5], position }
  else
    redis.call('ZREM', index_of[task_id], task_id)
    total = total - 1
  end
end
return { total, #found > limit and found[limit], rows }
