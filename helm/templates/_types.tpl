{{/*
The task types in the values or in taskTypesFile, as a map by name. A null takes a type out of the values, as everywhere in Helm, which leaves it there
where no default was. A file that is not YAML, or not a map of types, is refused.
*/}}
{{- define "taskpost.ownTypes" -}}
{{- $types := dict -}}
{{- range $name, $type := .Values.taskTypes }}{{ if not (kindIs "invalid" $type) }}{{ $_ := set $types $name $type }}{{ end }}{{ end -}}
{{- if .Values.taskTypesFile -}}
{{- if $types }}{{ fail "taskTypes and taskTypesFile are both set: set one of them" }}{{ end -}}
{{- $file := .Values.taskTypesFile | fromYaml -}}
{{- with $file.Error }}{{ fail (printf "taskTypesFile cannot be read as YAML: %s" .) }}{{ end -}}
{{- $types = get $file "task_types" | default dict -}}
{{- if or (omit $file "task_types") (not (kindIs "map" $types)) -}}
{{- fail "taskTypesFile must be a map with one member, `task_types`, which has the task types by name: see docs/task-types.md" -}}
{{- end -}}
{{- end -}}
{{- toYaml $types -}}
{{- end }}

{{/* The text of the file of task types. */}}
{{- define "taskpost.taskTypes" -}}
{{- include "taskpost.checkTypes" . -}}
{{- .Values.taskTypesFile | default (dict "task_types" (include "taskpost.ownTypes" . | fromYaml) | toYaml) -}}
{{- end }}

{{/*
What would make the service pass over a type, as far as it can be seen here: all of it, each with its place. The service checks the rest.
Renders nothing, or fails.
*/}}
{{- define "taskpost.checkTypes" -}}
{{- $root := . -}}
{{- $where := ternary "taskTypesFile: task_types" "taskTypes" (not (empty .Values.taskTypesFile)) -}}
{{- $faults := list -}}
{{- $types := include "taskpost.ownTypes" . | fromYaml -}}
{{- $builtIn := list "fibonacci" "prime_numbers" "sleep" -}}
{{- /* Modules of the image may define further types, which cannot be seen from here. */ -}}
{{- $seen := not (or .Values.settings.task_modules .Values.extraEnvFrom) -}}
{{- if not .Values.taskTypesFile -}}
{{- range splitList "\n" (include "taskpost.truthNames" (list "taskTypes" $types)) | compact -}}
{{- $faults = append $faults (printf "%s: Helm reads the names n, no and off without quotes as `false`, and y, yes and on as `true`: write the name in quotes" .) -}}
{{- end -}}
{{- end -}}
{{- range .Values.extraEnv }}{{ if eq .name "TASKPOST_TASK_MODULES" }}{{ $seen = false }}{{ end }}{{ end -}}
{{- range $name, $type := $types -}}
{{- $at := printf "%s.%s" $where $name -}}
{{- if not (regexMatch "^[a-z0-9]([a-z0-9_.-]{0,61}[a-z0-9])?$" $name) -}}
{{- $faults = append $faults (printf "%s: %q is not a name for a task type: use 1 to 63 characters of a-z, 0-9, '_', '.', '-', with a letter or digit first and last" $at $name) -}}
{{- end -}}
{{- if not (kindIs "map" $type) -}}
{{- $faults = append $faults (printf "%s: a task type is a map, with `python` or `command` for example" $at) -}}
{{- else if ne (toString $type.enabled) "false" -}}
{{- if and $seen (not (has $name $builtIn)) -}}
{{- if not (or $type.python $type.command) -}}
{{- $faults = append $faults (printf "%s: the service does not know this type: set `python` to its function (module:function), or `command` to what its image runs" $at) -}}
{{- end -}}
{{- /* The local executor may have the code, and asks that. */ -}}
{{- if and (kindIs "invalid" $type.input_schema) (or $type.command (ne $root.Values.executor "local")) -}}
{{- $faults = append $faults (printf "%s.input_schema is missing: the service does not have the code of this type, so give the JSON Schema of its input, e.g. {type: object}" $at) -}}
{{- end -}}
{{- end -}}
{{- if and $type.python $type.command -}}
{{- $faults = append $faults (printf "%s: `python` and `command` are both set: a type is a function, or what an image runs. Set one of them" $at) -}}
{{- end -}}
{{- if and $type.command (not $type.image) -}}
{{- $faults = append $faults (printf "%s.image is missing: `command` is run in an image" $at) -}}
{{- end -}}
{{- if $type.egress -}}
{{- if not (kindIs "slice" $type.egress) -}}
{{- $faults = append $faults (printf "%s.egress must be a list of rules, as in a NetworkPolicy" $at) -}}
{{- else if not $type.command -}}
{{- $faults = append $faults (printf "%s.egress is for types with `command`: the pods of others reach what `networkPolicy` says" $at) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $seen -}}
{{- range $name, $slots := .Values.settings.type_concurrency -}}
{{- $type := get $types $name | default dict -}}
{{- if kindIs "invalid" $slots -}}
{{- else if or (not (or (has $name $builtIn) (hasKey $types $name))) (eq (toString (default dict $type).enabled) "false") -}}
{{- $faults = append $faults (printf "settings.type_concurrency.%s: there is no such task type" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $faults }}{{ fail (join "\n" (prepend $faults "the task types cannot be used:")) }}{{ end -}}
{{- end }}

{{/* The places of the names `true` and `false` in a value, one a line. Called with (list "place" $value). */}}
{{- define "taskpost.truthNames" -}}
{{- $at := first . -}}{{- $value := last . -}}
{{- if kindIs "map" $value -}}
{{- range $name, $member := $value -}}
{{- $place := printf "%s.%s" $at $name -}}
{{- if has $name (list "true" "false") }}{{ printf "%s\n" $place }}{{ end -}}
{{- include "taskpost.truthNames" (list $place $member) -}}
{{- end -}}
{{- else if kindIs "slice" $value -}}
{{- range $index, $member := $value }}{{ include "taskpost.truthNames" (list (printf "%s[%d]" $at $index) $member) }}{{ end -}}
{{- end -}}
{{- end }}
