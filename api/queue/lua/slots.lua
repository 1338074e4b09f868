#!lua flags=no-writes
-- Every attempt that holds a slot, or whose Job is suspended: both are unfinished.
-- -> rows of { task_id, attempt, type }
local rows = {}
for _, task_type in ipairs(task_types()) do
  for _, held in ipairs({ 'slots', 'suspended' }) do
    for _, member in ipairs(redis.call('ZRANGE', key(held, task_type), 0, -1)) do
      local colon = string.find(member, ':', 1, true)
      rows[#rows + 1] = { string.sub(member, 1, colon - 1), string.sub(member, colon + 1), task_type }
    end
  end
end
return rows
