{{/*
The users of the bundled Valkey, as in its ACL file. Called with (list $ servicePassword runnerPassword).
Unauthenticated clients may run nothing, so that Valkey's own bounds for them hold: 1 KiB of replies, 16 KiB an argument. The
service closes their connections (client|kill) and ends scripts that never end (shutdown, where one has written). The runner reaches the keys and channels of this instance with the
commands of runner/lua/*.lua as it calls them, and with those of its connection: tests/deploy holds this against the code.
*/}}
{{- define "taskpost.acl" -}}
{{- $prefix := printf "{taskpost:%s}:*" (include "taskpost.instance" (first .)) -}}
user default off resetkeys resetchannels -@all
user taskpost on #{{ index . 1 | sha256sum }} ~{{ $prefix }} resetchannels &{{ $prefix }} +@all -@dangerous -@admin +info +client|kill +client|no-evict +shutdown
user runner on #{{ index . 2 | sha256sum }} ~{{ $prefix }} resetchannels &{{ $prefix }} -@all {{ include "taskpost.runnerCommands" . }}
{{- end }}

{{- define "taskpost.runnerCommands" -}}
+auth +hello +ping +select +client|setinfo +client|no-evict +eval +evalsha +script|load +wait +time +publish +get +set +del +hmget +hset +hexists +hdel +hincrby +zadd +zrem +rpush
{{- end }}

{{- define "taskpost.valkeyConfig" -}}
bind * -::*
protected-mode no
port 6379
dir /data
aclfile /etc/valkey-users/users.acl
# What was answered is on disk, and nothing is ever evicted.
appendonly yes
appendfsync always
aof-load-truncated yes
save ""
maxmemory {{ .Values.valkey.maxmemory }}
maxmemory-policy noeviction
# Bounds for what clients hold. Idle connections are closed, except subscribers. The buffers of all clients together have a bound, and
# those that hold most are closed first; the service and the runners are exempt (CLIENT NO-EVICT). A request or a reply holds one result.
timeout 60
tcp-keepalive 60
maxclients {{ .Values.valkey.maxClients | int64 }}
maxmemory-clients {{ .Values.valkey.maxmemoryClients }}
{{- $buffer := max 67108864 (mul 4 (.Values.settings.result_max_bytes | default 8388608 | int64)) }}
client-query-buffer-limit {{ $buffer }}
client-output-buffer-limit normal {{ $buffer }} {{ div $buffer 2 }} 60
client-output-buffer-limit pubsub 8mb 2mb 60
# A task's record stays compact with a URL or a message of some length.
hash-max-listpack-value 512
{{- with .Values.valkey.extraConfig }}
{{ . | trim }}
{{- end }}
{{ end }}
