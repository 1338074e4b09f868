{{/*
The users of the bundled Valkey, as in its ACL file. Called with (list $ servicePassword runnerPassword).
Who does not log in may only ask whether it lives. The runner reaches the keys and channels of this instance with the
commands of runner/lua/*.lua as it calls them, and with those of its connection: tests/deploy holds this against the code.
*/}}
{{- define "taskpost.acl" -}}
{{- $prefix := printf "{taskpost:%s}:*" (include "taskpost.instance" (first .)) -}}
user default on nopass resetkeys resetchannels -@all +ping
user taskpost on #{{ index . 1 | sha256sum }} ~{{ $prefix }} resetchannels &{{ $prefix }} +@all -@dangerous -@admin +info
user runner on #{{ index . 2 | sha256sum }} ~{{ $prefix }} resetchannels &{{ $prefix }} -@all {{ include "taskpost.runnerCommands" . }}
{{- end }}

{{- define "taskpost.runnerCommands" -}}
+auth +hello +ping +select +client|setinfo +eval +evalsha +script|load +wait +time +publish +get +set +del +hmget +hset +hdel +hincrby +zadd +zrem +rpush
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
# A task's record stays compact with a URL or a message of some length.
hash-max-listpack-value 512
{{- with .Values.valkey.extraConfig }}
{{ . | trim }}
{{- end }}
{{ end }}
