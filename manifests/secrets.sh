#!/bin/sh
# Prints the Secrets that the manifests want, with passwords and a signing key made anew at each call:
#
#   sh manifests/secrets.sh | kubectl --namespace taskpost create -f -
#
# The same as the chart makes; tests/deploy/test_manifests.py compares them.
set -eu

instance=taskpost
password=$(openssl rand -hex 16)
runner_password=$(openssl rand -hex 16)
sha256() { printf %s "$1" | openssl dgst -sha256 -r | cut -d' ' -f1; }

cat <<END
apiVersion: v1
kind: Secret
metadata:
  name: taskpost-redis
  labels:
    app.kubernetes.io/name: taskpost
    app.kubernetes.io/instance: taskpost
    app.kubernetes.io/component: redis
    app.kubernetes.io/part-of: taskpost
    app.kubernetes.io/version: "0.1.0"
type: Opaque
stringData:
  redis-url: redis://taskpost:$password@taskpost-valkey:6379/0
  password: $password
  runner-password: $runner_password
  users.acl: |
    user default off resetkeys resetchannels -@all
    user taskpost on #$(sha256 "$password") ~{taskpost:$instance}:* resetchannels &{taskpost:$instance}:* +@all -@dangerous -@admin +info +client|kill +client|no-evict +shutdown
    user runner on #$(sha256 "$runner_password") ~{taskpost:$instance}:* resetchannels &{taskpost:$instance}:* -@all +auth +hello +ping +select +client|setinfo +client|no-evict +eval +evalsha +script|load +wait +time +publish +get +set +del +hmget +hset +hexists +hdel +hincrby +zadd +zrem +rpush
---
apiVersion: v1
kind: Secret
metadata:
  name: taskpost-runner
  labels:
    app.kubernetes.io/name: taskpost
    app.kubernetes.io/instance: taskpost
    app.kubernetes.io/component: runner
    app.kubernetes.io/part-of: taskpost
    app.kubernetes.io/version: "0.1.0"
type: Opaque
stringData:
  redis-url: redis://runner:$runner_password@taskpost-valkey:6379/0
  signing-keys: |
    whsec_$(openssl rand -base64 32)
END
