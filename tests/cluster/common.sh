# shellcheck shell=bash disable=SC2034
# Paths, addresses and helpers that the scripts here share. To be sourced.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${TASKPOST_CLUSTER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/taskpost-cluster}
bin=$cache/bin     # the programs, kubectl and helm among them
state=$cache/state # all that the running node has written; gone after `down`
kubeconfig=$cache/kubeconfig
images=(api runner valkey template program) # as localhost/taskpost-NAME
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/pyproject.toml")

netns=taskpost # everything of the node is in this network namespace; no packet leaves it
node_ip=10.89.0.1 pod_cidr=10.88.0.0/20 service_cidr=10.90.0.0/16 dns_ip=10.90.0.10

# docker and kind, or our own node and buildah. TASKPOST_CLUSTER chooses; else it goes by what is here.
cluster_kind() {
  if [ -n "${TASKPOST_CLUSTER:-}" ]; then
    echo "$TASKPOST_CLUSTER"
  elif command -v kind >/dev/null && docker info >/dev/null 2>&1; then
    echo kind
  else
    echo node
  fi
}

say() { echo "$*" >&2; }
fail() { say "$*" && exit 1; }

wait_for() { # SECONDS CMD...
  local until=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$until" ] || fail "gave up waiting for: $*"
    sleep 0.2
  done
}
