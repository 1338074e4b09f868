{{/* A size in bytes, as valkey.conf has it: 1gb, 512mb, 1000k. */}}
{{- define "taskpost.bytes" -}}
{{- $units := dict "" 1 "k" 1000 "kb" 1024 "m" 1000000 "mb" 1048576 "g" 1000000000 "gb" 1073741824 -}}
{{- $number := regexFind "^[0-9]+" . -}}
{{- mul (int64 $number) (get $units (trimPrefix $number . | lower)) -}}
{{- end }}

{{/* A quantity of Kubernetes as a number: 500m, 2Gi, 1e9. values.schema.json has seen that it is one. */}}
{{- define "taskpost.quantity" -}}
{{- if kindIs "string" . -}}
{{- $units := dict "" 1.0 "n" 1e-9 "u" 1e-6 "m" 1e-3 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 "Ei" 1152921504606846976 -}}
{{- $number := regexFind "^[0-9.]+([eE][+-]?[0-9]+)?" . -}}
{{- mulf (float64 $number) (get $units (trimPrefix $number .)) -}}
{{- else -}}
{{- float64 . -}}
{{- end -}}
{{- end }}

{{/* No container asks for more than its limit: the API server would refuse its pods. Called with (dict "place" resources). Renders nothing, or fails. */}}
{{- define "taskpost.checkResources" -}}
{{- range $place, $resources := . -}}
{{- range $name, $request := (default dict $resources).requests | default dict -}}
{{- $limit := get ($resources.limits | default dict) $name -}}
{{- if not (or (kindIs "invalid" $request) (kindIs "invalid" $limit) (eq (toString $limit) "")) -}}
{{- if gt (include "taskpost.quantity" $request | float64) (include "taskpost.quantity" $limit | float64) -}}
{{- fail (printf "%s.requests.%s is %v: it may be at most %s.limits.%s, which is %v" $place $name $request $place $name $limit) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* One result fits into the bound of its receiver, and that into the bound of all: the service does not start otherwise. */}}
{{- define "taskpost.checkUndelivered" -}}
{{- $settings := .Values.settings -}}
{{- $one := add ($settings.result_max_bytes | default 8388608 | int64) 65536 -}}
{{- $receiver := $settings.undelivered_max_bytes_per_receiver | default 33554432 | int64 -}}
{{- $all := $settings.undelivered_max_bytes | default 134217728 | int64 -}}
{{- if lt $receiver $one }}
{{- fail (printf "settings.undelivered_max_bytes_per_receiver is %d: it must be at least %d, which is what one result of settings.result_max_bytes takes. Increase the first or decrease the second." $receiver $one) }}
{{- end }}
{{- if lt $all $receiver }}
{{- fail (printf "settings.undelivered_max_bytes is %d: it must be at least settings.undelivered_max_bytes_per_receiver, %d." $all $receiver) }}
{{- end }}
{{- end }}

{{/* The bundled Valkey is not killed for its memory: what the settings let it hold fits. Renders nothing, or fails. */}}
{{- define "taskpost.checkMemory" -}}
{{- $settings := .Values.settings -}}
{{- $maxmemory := include "taskpost.bytes" .Values.valkey.maxmemory | int64 -}}
{{- $clients := include "taskpost.bytes" .Values.valkey.maxmemoryClients | int64 -}}
{{- /* The defaults are those of api/settings.py: tests/deploy holds the two together. */ -}}
{{- $queue := $settings.queue_max_bytes | default 268435456 | int64 -}}
{{- $length := $settings.queue_max_length | default 10000 | int64 -}}
{{- $retention := ternary 536870912 $settings.retention_max_bytes (kindIs "invalid" $settings.retention_max_bytes) | int64 -}}
{{- $logs := ternary 67108864 $settings.retention_log_max_bytes (kindIs "invalid" $settings.retention_log_max_bytes) | int64 -}}
{{- $undelivered := $settings.undelivered_max_bytes | default 134217728 | int64 -}}
{{- $keys := $settings.idempotency_max_keys | default 250000 | int64 -}}
{{- $result := $settings.result_max_bytes | default 8388608 | int64 -}}
{{- $held := add $queue $retention $logs $undelivered (mul $length 4096) (mul $keys 128) $clients -}}
{{- $room := div (mul $maxmemory 9) 10 -}}
{{- if gt $held $room }}
{{- fail (printf "valkey.maxmemory is %s, of which nine tenths are for data, %d MiB: settings.queue_max_bytes (%d MiB), retention_max_bytes (%d MiB), retention_log_max_bytes (%d MiB) and undelivered_max_bytes (%d MiB), 4 KiB for each of queue_max_length (%d), 128 bytes for each of idempotency_max_keys (%d) and valkey.maxmemoryClients (%d MiB) are %d MiB together. Increase valkey.maxmemory, and valkey.resources.limits.memory with it, or decrease some of the others." .Values.valkey.maxmemory (div $room 1048576) (div $queue 1048576) (div $retention 1048576) (div $logs 1048576) (div $undelivered 1048576) $length $keys (div $clients 1048576) (div (add $held 1048575) 1048576)) }}
{{- end }}
{{- with dig "limits" "memory" "" .Values.valkey.resources }}
{{- $limit := include "taskpost.quantity" . | float64 | int64 -}}
{{- $slots := mul ($settings.concurrency | default 10 | int64) (add $result 2097152) -}}
{{- $least := add (div (mul $maxmemory 3) 2) $slots -}}
{{- if lt $limit $least }}
{{- $most := div (mul 2 (max 0 (sub $limit $slots))) 3 -}}
{{- fail (printf "valkey.maxmemory is %s and valkey.resources.limits.memory is %v: valkey.maxmemory may be at most %d MiB, or valkey.resources.limits.memory must be at least %d MiB. The limit covers one and a half times valkey.maxmemory, for the rewriting of the append-only file, and %d MiB for the results and inputs of settings.concurrency (%d) attempts." $.Values.valkey.maxmemory . (div $most 1048576) (div (add $least 1048575) 1048576) (div $slots 1048576) ($settings.concurrency | default 10 | int64)) }}
{{- end }}
{{- end }}
{{- end }}
