#!lua flags=no-writes
-- -> the service that has the lease of the leader, or false if none has
return leader()
