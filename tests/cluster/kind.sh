#!/usr/bin/env bash
# The same commands as node.sh has, on a cluster of kind. KIND_NODE_IMAGE chooses the version of Kubernetes.
. "$(dirname "$0")/common.sh"

control_plane=taskpost-control-plane
manifest=/etc/kubernetes/manifests/kube-apiserver.yaml # the kubelet runs what lies there

up() {
  cd "$root" # kind.yaml names a file from here
  kind get clusters 2>/dev/null | grep -qx taskpost ||
    kind create cluster --config "$here/kind.yaml" --kubeconfig "$kubeconfig" --wait 120s ${KIND_NODE_IMAGE:+--image "$KIND_NODE_IMAGE"}
  kind export kubeconfig --name taskpost --kubeconfig "$kubeconfig" >/dev/null 2>&1
}

down() {
  kind delete cluster --name taskpost
  rm -f "$kubeconfig"
}

load() {
  local name
  for name in "${images[@]}"; do
    docker tag "localhost/taskpost-$name:latest" "localhost/taskpost-$name:$version"
    kind load docker-image --name taskpost "localhost/taskpost-$name:latest" "localhost/taskpost-$name:$version"
  done
}

mkdir -p "$cache"
case ${1:-} in
  up | down | load) "$1" ;;
  import) kind load docker-image --name taskpost "$2" ;;
  exec)
    shift
    KUBECONFIG=$kubeconfig "$@"
    ;;
  stop | start)
    [ "${2:-}" = apiserver ] || fail "in kind only apiserver can be stopped and started"
    if [ "$1" = stop ]; then
      docker exec "$control_plane" mv "$manifest" /etc/kubernetes/kube-apiserver.yaml
    else
      docker exec "$control_plane" mv /etc/kubernetes/kube-apiserver.yaml "$manifest"
      wait_for 60 kubectl --kubeconfig "$kubeconfig" get --raw /readyz
    fi
    ;;
  volumes) ;; # kind makes them by itself
  audit) docker exec "$control_plane" cat /var/log/kubernetes/audit.log ;;
  address) docker exec "$control_plane" sh -c 'ip -4 route show default | cut -d" " -f3' ;;
  *) fail "node.sh says what the commands are" ;;
esac
