#!lua flags=allow-oom
-- Takes or renews the lease of the one service that dispatches and settles.
-- ARGV: owner, lease_milliseconds
-- -> 1 if it is the owner's, 0 if another has it
local leader = key('leader')
local holder = redis.call('GET', leader)
if holder and holder ~= ARGV[1] then
  return 0
end
redis.call('SET', leader, ARGV[1], 'PX', ARGV[2])
return 1
