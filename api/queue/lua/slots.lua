#!lua flags=no-writes
-- Every attempt that holds a slot.
-- -> rows of { task_id, attempt, type }
local rows = {}
for _, task_type in ipairs(task_types()) do
  for _, member in ipairs(redis.call('ZRANGE', key('slots', task_type), 0, -1)) do
    local colon = string.find(member, ':', 1, true)
    rows[#rows + 1] = { string.sub(member, 1, colon - 1), string.sub(member, colon + 1), task_type }
  end
end
return rows
