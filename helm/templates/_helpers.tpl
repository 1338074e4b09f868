{{/* The one place where an image gets its name. Called with (list $ $image). */}}
{{- define "taskpost.image" -}}
{{- $root := first . -}}{{- $image := last . -}}
{{- $registry := $root.Values.global.imageRegistry | default $image.registry -}}
{{- with $registry }}{{ . | trimSuffix "/" }}/{{ end -}}
{{- $image.repository -}}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default $root.Chart.AppVersion }}{{ end -}}
{{- end }}

{{/* Pull secrets as [{name: ...}]. Called with (list $ $more). */}}
{{- define "taskpost.pullSecrets" -}}
{{- $root := first . -}}
{{- $found := list -}}
{{- range concat ($root.Values.global.imagePullSecrets | default list) ($root.Values.imagePullSecrets | default list) (last . | default list) -}}
{{- $found = append $found (ternary . (dict "name" .) (kindIs "map" .)) -}}
{{- end -}}
{{- with uniq $found }}{{ toYaml . }}{{ end -}}
{{- end }}

{{- define "taskpost.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "taskpost.fullname" .) -}}
{{- else -}}
{{- required "serviceAccount.name is needed where serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{- define "taskpost.valkeyHost" -}}{{ include "taskpost.fullname" . }}-valkey{{- end }}

{{/* The Secret of the service (and of Valkey), and the one of task pods. */}}
{{- define "taskpost.redisSecret" -}}
{{- .Values.redis.existingSecret | default (printf "%s-redis" (include "taskpost.fullname" .)) -}}
{{- end }}
{{- define "taskpost.runnerSecret" -}}
{{- .Values.runner.existingSecret | default (printf "%s-runner" (include "taskpost.fullname" .)) -}}
{{- end }}

{{/* The ConfigMap that owns the Jobs. */}}
{{- define "taskpost.owner" -}}{{ include "taskpost.fullname" . }}-jobs{{- end }}

{{/* A map without the names whose value is null: a null takes away what other values have given. */}}
{{- define "taskpost.given" -}}
{{- $given := dict -}}
{{- range $name, $value := . }}{{ if not (kindIs "invalid" $value) }}{{ $_ := set $given $name $value }}{{ end }}{{ end -}}
{{- toYaml $given -}}
{{- end }}

{{/* A setting as the service reads it: whole numbers as such, lists with commas, maps as name=value. */}}
{{- define "taskpost.settingText" -}}
{{- if kindIs "slice" . -}}
{{- $texts := list -}}{{- range . -}}{{- $texts = append $texts (include "taskpost.settingText" .) -}}{{- end -}}
{{- join "," $texts -}}
{{- else if kindIs "map" . -}}
{{- $texts := list -}}{{- range $name, $value := . -}}{{- if not (kindIs "invalid" $value) }}{{ $texts = append $texts (printf "%s=%s" $name (include "taskpost.settingText" $value)) }}{{ end -}}{{- end -}}
{{- join "," $texts -}}
{{- else if and (kindIs "float64" .) (eq (floor .) .) -}}
{{- int64 . -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end }}

{{/* DNS, as a rule of a NetworkPolicy's egress. */}}
{{- define "taskpost.dnsRule" -}}
- ports:
    {{- range .Values.networkPolicy.dnsPorts }}
    - {port: {{ . }}, protocol: UDP}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- with .Values.networkPolicy.dnsTo }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* Where callbacks may be, without the addresses of the API server as far as they are known: blocks of all addresses leave
them out. */}}
{{- define "taskpost.callbackPeers" -}}
{{- $own := list -}}
{{- range .Values.networkPolicy.apiServerTo }}{{ with .ipBlock }}{{ $own = append $own .cidr }}{{ end }}{{ end -}}
{{- $peers := list -}}
{{- range .Values.networkPolicy.callbacksTo -}}
{{- $peer := . -}}
{{- $all := dig "ipBlock" "cidr" "" . -}}
{{- if and $own (has $all (list "0.0.0.0/0" "::/0")) -}}
{{- $except := dig "ipBlock" "except" list . -}}
{{- range $own }}{{ if eq (contains ":" .) (contains ":" $all) }}{{ $except = append $except . }}{{ end }}{{ end -}}
{{- $peer = dict "ipBlock" (dict "cidr" $all "except" $except) -}}
{{- end -}}
{{- $peers = append $peers $peer -}}
{{- end -}}
{{- toYaml $peers -}}
{{- end }}
