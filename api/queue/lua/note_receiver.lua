#!lua flags=allow-oom
-- Records the standing of a receiver while an attempt to it is still in progress.
-- ARGV: result_url, standing, account ('': as it was)
note_receiver(host_of(ARGV[1]), ARGV[2], ARGV[3])
wake('deliver')
