#!lua flags=allow-oom
-- Takes or renews the lease of the one service that dispatches and settles.
-- ARGV: owner, lease_milliseconds
-- -> 1 if it is the owner's, 0 if another has it
local holder = leader()
if holder and holder ~= ARGV[1] then
  return 0
end
redis.call('SET', key('leader'), ARGV[1])
redis.call('HSET', key('steady'), 'leader_until', integer(now_milliseconds() + tonumber(ARGV[2])))
return 1
