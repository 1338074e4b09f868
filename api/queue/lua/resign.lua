#!lua flags=allow-oom
-- Gives up the lease of the leader, if it is the owner's, so that another need not wait for its end.
-- ARGV: owner
-- -> 1 if it was
if redis.call('GET', key('leader')) ~= ARGV[1] then
  return 0
end
return redis.call('DEL', key('leader'))
