#!lua flags=allow-oom
-- Can this Redis be written to? A replica and a failed disk refuse; a full memory does not stop what already runs.
-- -> 1
redis.call('SET', key('probe'), '1', 'PX', 60000)
return 1
