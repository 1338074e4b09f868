#!lua flags=allow-oom
-- Records which types the leader has paused now, to show why their tasks wait. Replaces the earlier record.
-- ARGV: owner, then for each type its name and the reason as JSON
-- -> the number of types; NOTLEADING
if not leads(ARGV[1]) then
  return redis.error_reply(NOT_LEADING)
end
redis.call('DEL', key('held'))
for index = 2, #ARGV, 2 do
  redis.call('HSET', key('held'), ARGV[index], ARGV[index + 1])
end
return (#ARGV - 1) / 2
