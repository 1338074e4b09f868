{{/* The environment of the service. What `extraEnv` names too is left to it: server-side apply refuses a name given twice. */}}
{{- define "taskpost.env" -}}
{{- include "taskpost.checkUndelivered" . -}}
{{- $env := dict
    "TASKPOST_BIND" "0.0.0.0:8000"
    "TASKPOST_DATA_DIR" "/data"
    "TASKPOST_INSTANCE" (include "taskpost.instance" .)
    "TASKPOST_EXECUTOR" .Values.executor
    "TASKPOST_SIGNING_KEYS_FILE" "/etc/taskpost/runner/signing-keys"
    "TASKPOST_TASK_TYPES_FILE" "/etc/taskpost/task-types/task-types.yaml"
-}}
{{- if eq .Values.executor "kubernetes" -}}
{{- $_ := set $env "TASKPOST_RUNNER_IMAGE" (include "taskpost.image" (list . .Values.taskPods.image)) -}}
{{- $_ := set $env "TASKPOST_RUNNER_SECRET" (include "taskpost.runnerSecret" .) -}}
{{- $_ := set $env "TASKPOST_OWN_SECRETS" (list (include "taskpost.redisSecret" .) .Values.callbacks.certificateSecret | compact | join ",") -}}
{{- $_ := set $env "TASKPOST_OWNER_CONFIG_MAP" (include "taskpost.owner" .) -}}
{{- $_ := set $env "TASKPOST_POD_FILE" "/etc/taskpost/task-pods/task-pods.json" -}}
{{- end -}}
{{- if .Values.valkey.enabled -}}
{{- $_ := set $env "TASKPOST_REDIS_EXCLUSIVE" "true" -}}
{{- end -}}
{{- if or .Values.callbacks.caSecret .Values.callbacks.caConfigMap -}}
{{- $_ := set $env "TASKPOST_CALLBACK_CA_FILE" "/etc/taskpost/callback-ca/ca.crt" -}}
{{- end -}}
{{- if .Values.callbacks.certificateSecret -}}
{{- $_ := set $env "TASKPOST_CALLBACK_CERTIFICATE_FILE" "/etc/taskpost/callback-certificate/tls.crt" -}}
{{- $_ := set $env "TASKPOST_CALLBACK_KEY_FILE" "/etc/taskpost/callback-certificate/tls.key" -}}
{{- end -}}
{{- range $name, $value := .Values.settings -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $_ := set $env (printf "TASKPOST_%s" (upper $name)) (include "taskpost.settingText" $value) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $env "TASKPOST_CALLBACK_OWN_NAMES" (include "taskpost.ownNames" .) -}}
{{- $own := list -}}
{{- range .Values.extraEnv }}{{ $own = append $own .name }}{{ end }}
{{- range $name, $value := $env }}
{{- if not (has $name $own) }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
{{- if not (has "TASKPOST_REDIS_URL" $own) }}
- name: TASKPOST_REDIS_URL
  valueFrom:
    secretKeyRef: {name: {{ include "taskpost.redisSecret" . | quote }}, key: redis-url}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Where this Taskpost itself is reached: callbacks do not go there. The name with a port is resolved too. */}}
{{- define "taskpost.ownNames" -}}
{{- $name := include "taskpost.fullname" . -}}
{{- $within := printf "%s.%s" $name .Release.Namespace -}}
{{- $names := list (printf "%s:%d" $name (int .Values.service.port)) $within (printf "%s.svc" $within) (printf "%s.svc.cluster.local" $within) -}}
{{- if .Values.ingress.enabled }}{{ $names = concat $names (compact .Values.ingress.hosts) }}{{ end -}}
{{- join "," (concat $names (.Values.settings.callback_own_names | default list)) -}}
{{- end }}

{{/* Certificates that the service and the runners of tasks have at the same paths: `volumes` and `volumeMounts`. */}}
{{- define "taskpost.certificates" -}}
{{- $volumes := list -}}
{{- $ca := list (dict "key" "ca.crt" "path" "ca.crt") -}}
{{- with .Values.redis.caSecret -}}
{{- $volumes = append $volumes (dict "name" "redis-ca" "secret" (dict "secretName" . "items" $ca)) -}}
{{- end -}}
{{- with .Values.callbacks.caSecret -}}
{{- $volumes = append $volumes (dict "name" "callback-ca" "secret" (dict "secretName" . "items" $ca)) -}}
{{- end -}}
{{- with .Values.callbacks.caConfigMap -}}
{{- if $.Values.callbacks.caSecret }}{{ fail "callbacks.caSecret and callbacks.caConfigMap are both set: set one of them" }}{{ end -}}
{{- $volumes = append $volumes (dict "name" "callback-ca" "configMap" (dict "name" . "items" $ca)) -}}
{{- end -}}
{{- with .Values.callbacks.certificateSecret -}}
{{- $volumes = append $volumes (dict "name" "callback-certificate" "secret" (dict "secretName" .)) -}}
{{- end -}}
{{- $mounts := list -}}
{{- range $volumes -}}
{{- $mounts = append $mounts (dict "name" .name "mountPath" (printf "/etc/taskpost/%s" .name) "readOnly" true) -}}
{{- end -}}
{{- dict "volumes" $volumes "volumeMounts" $mounts | toYaml -}}
{{- end }}

{{/* Labels by which the pods of tasks are selected: api/executors/kubernetes/job.py gives them. */}}
{{- define "taskpost.taskSelectorLabels" -}}
app.kubernetes.io/name: taskpost-task
app.kubernetes.io/component: task
taskpost.dev/instance: {{ include "taskpost.instance" . | quote }}
{{- end }}

{{/* How task pods are made, for the service to read: api/executors/kubernetes/pods.py says what there is. */}}
{{- define "taskpost.taskPods" -}}
{{- dict "default" (include "taskpost.taskPod" (list $ .Values.taskPods) | fromYaml) | mustToPrettyJson -}}
{{- end }}

{{/* The pods of tasks; what is left empty is left out. Called with (list $ $pod). */}}
{{- define "taskpost.taskPod" -}}
{{- $root := first . -}}{{- $pod := last . -}}
{{- $secrets := list -}}
{{- range include "taskpost.pullSecrets" (list $root $pod.imagePullSecrets) | fromYamlArray }}{{ $secrets = append $secrets .name }}{{ end -}}
{{- $certificates := include "taskpost.certificates" $root | fromYaml -}}
{{- $volumes := concat ($pod.volumes | default list) $certificates.volumes -}}
{{- $mounts := concat ($pod.volumeMounts | default list) $certificates.volumeMounts -}}
{{- $release := dict "app.kubernetes.io/instance" $root.Release.Name -}}
{{- $all := dict
    "image_pull_policy" $pod.image.pullPolicy
    "command" $pod.command
    "resources" $pod.resources
    "sidecar_resources" $pod.sidecarResources
    "node_selector" (include "taskpost.given" $pod.nodeSelector | fromYaml)
    "tolerations" $pod.tolerations
    "affinity" $pod.affinity
    "priority_class" $pod.priorityClassName
    "runtime_class" $pod.runtimeClassName
    "service_account" $pod.serviceAccountName
    "pull_secrets" $secrets
    "run_as_user" $pod.runAsUser
    "queue_name" $pod.queueName
    "job_labels" (merge (deepCopy $release) (include "taskpost.given" $pod.jobLabels | fromYaml))
    "env" $pod.env
    "volumes" $volumes
    "volume_mounts" $mounts
    "annotations" (include "taskpost.given" $pod.annotations | fromYaml)
    "labels" (merge (deepCopy $release) (include "taskpost.given" $pod.labels | fromYaml))
-}}
{{- range $name, $value := $all }}
{{- if $value }}
{{ dict $name $value | toYaml }}
{{- end }}
{{- end }}
{{ dict "container_run_as_user" $pod.containerRunAsUser | toYaml }}
{{- end }}
