{{/*
The name of all objects, and the instance that tasks belong to. At most 40 characters: suffixes of ours and of Kubernetes follow it.
*/}}
{{- define "taskpost.fullname" -}}
{{- (include "taskpost.installed" . | fromYaml).name -}}
{{- end }}

{{- define "taskpost.instance" -}}
{{- .Values.instance | default (include "taskpost.fullname" .) -}}
{{- end }}

{{/*
The name of all objects and the labels that select their pods, as `name`, `selector` and `suffix` (of the component). Selectors cannot be changed, and
objects under another name would begin with no tasks. So an upgrade keeps what an earlier version of the chart has installed. The cluster is asked once
for each render.
*/}}
{{- define "taskpost.installed" -}}
{{- if not (hasKey .Values "_installed") -}}
{{- $name := include "taskpost.freshName" . -}}
{{- $cut := .Release.Name -}}
{{- if not (contains .Chart.Name $cut) }}{{ $cut = printf "%s-%s" $cut .Chart.Name }}{{ end -}}
{{- $cut = trunc 40 $cut | trimSuffix "-" -}}
{{- if and (not .Values.fullnameOverride) (ne $cut $name) -}}
{{- $there := lookup "apps/v1" "Deployment" .Release.Namespace $cut -}}
{{- if eq (dig "metadata" "annotations" "meta.helm.sh/release-name" "" $there) .Release.Name }}{{ $name = $cut }}{{ end -}}
{{- end -}}
{{- $there := lookup "apps/v1" "Deployment" .Release.Namespace $name -}}
{{- if not $there }}{{ $there = lookup "apps/v1" "StatefulSet" .Release.Namespace (printf "%s-valkey" $name) }}{{ end -}}
{{- $selector := dig "spec" "selector" "matchLabels" dict $there -}}
{{- $suffix := get $selector "app.kubernetes.io/component" | trimPrefix "service" | trimPrefix "valkey" -}}
{{- if ne (get $selector "app.kubernetes.io/name") "taskpost" -}}
{{- $selector = include "taskpost.freshSelector" . | fromYaml -}}
{{- $suffix = include "taskpost.freshSuffix" . -}}
{{- end -}}
{{- $_ := set .Values "_installed" (dict "name" $name "selector" (omit $selector "app.kubernetes.io/component") "suffix" $suffix) -}}
{{- end -}}
{{- toYaml .Values._installed -}}
{{- end }}

{{/*
The name that a new release gets. One that is too long, or that no Service can have (a release's name may have dots, and begin with a digit), is
changed and ends in a hash of the whole: releases whose names begin alike do not meet.
*/}}
{{- define "taskpost.freshName" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else -}}
{{- $whole := ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) (contains .Chart.Name .Release.Name) -}}
{{- $name := replace "." "-" $whole -}}
{{- if regexMatch "^[0-9]" $name }}{{ $name = printf "t%s" $name }}{{ end -}}
{{- if or (ne $name $whole) (gt (len $name) 40) -}}
{{- $name = printf "%s-%s" (trunc 31 $name | trimSuffix "-") (sha256sum $whole | trunc 8) -}}
{{- end -}}
{{- $name -}}
{{- end -}}
{{- end }}

{{/* Labels by which the objects of a new release are found. */}}
{{- define "taskpost.freshSelector" -}}
app.kubernetes.io/name: taskpost
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/* Follows the name of a component: a parent chart may have this chart twice in one release, under other names (`alias`). */}}
{{- define "taskpost.freshSuffix" -}}
{{- if ne .Chart.Name "taskpost" }}{{ printf "-%s" .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{/* Labels that select the pods of a component; they never change. Called with (list $ "component"). */}}
{{- define "taskpost.selectorLabels" -}}
{{- $installed := include "taskpost.installed" (first .) | fromYaml -}}
{{- merge (dict "app.kubernetes.io/component" (printf "%s%s" (index . 1) $installed.suffix)) $installed.selector | toYaml -}}
{{- end }}

{{/* Labels by which an object is found, whatever its pods are selected by. Called with (list $ "component"). */}}
{{- define "taskpost.ownLabels" -}}
{{- $component := printf "%s%s" (index . 1) (include "taskpost.freshSuffix" (first .)) -}}
{{- merge (dict "app.kubernetes.io/component" $component) (include "taskpost.freshSelector" (first .) | fromYaml) | toYaml -}}
{{- end }}

{{/* Labels of an object; its own go before all others. Called with (list $ "component") or (list $ "component" $more). */}}
{{- define "taskpost.labels" -}}
{{- $root := first . -}}
{{- $fixed := include "taskpost.ownLabels" (list $root (index . 1)) | fromYaml -}}
{{- $usual := dict
    "app.kubernetes.io/part-of" "taskpost"
    "app.kubernetes.io/version" $root.Chart.AppVersion
    "app.kubernetes.io/managed-by" $root.Release.Service
    "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_")
-}}
{{- $own := ternary (last .) dict (gt (len .) 2) -}}
{{- merge $fixed ($own | default dict) ($root.Values.commonLabels | default dict) $usual | include "taskpost.given" -}}
{{- end }}

{{/* Labels of a pod: those that select it, commonLabels, its own. Called with (list $ "component" $podLabels). */}}
{{- define "taskpost.podLabels" -}}
{{- $root := first . -}}
{{- $fixed := include "taskpost.selectorLabels" (list $root (index . 1)) | fromYaml -}}
{{- merge $fixed (last . | default dict) ($root.Values.commonLabels | default dict) | include "taskpost.given" -}}
{{- end }}
