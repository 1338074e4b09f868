#!lua flags=allow-oom
-- Keeps what an attempt to the receiver of a delivery is like, before it has ended.
-- ARGV: result_url, standing, account ('': as it was)
note_receiver(host_of(ARGV[1]), ARGV[2], ARGV[3])
wake('deliver')
