#!/usr/bin/env bash
# A real Kubernetes node of our own, where there is no Docker. One at a time on a machine: two kubelets delete each other's pods.
#
#   node.sh up | down            start all of it, if it is not there already; end it, and remove what it has written
#   node.sh exec CMD...          run a command in the node's network, with KUBECONFIG and PATH set
#   node.sh load                 give it the images that images.sh has built
#   node.sh import IMAGE NAME    give it another image
#   node.sh stop NAME [SIGNAL]   etcd, apiserver, controllers, scheduler, containerd, kubelet, proxy, dns
#   node.sh start NAME
#   node.sh volumes              make the volumes that were released free again, and empty
#   node.sh kwok COUNT [stay]    add nodes that only pretend: their pods need no containers, for tests of scale. Pods of Jobs
#                                succeed at once; with `stay` they run until somebody writes their status
#   node.sh audit | address      the API server's audit log; the address at which pods reach what runs under `exec`
. "$(dirname "$0")/common.sh"
. "$here/parts.sh"

up() {
  answers && return
  down
  [ ! -e "/run/netns/$netns" ] || fail "another node is running here: it uses the network namespace $netns"
  mkdir -p "$state"/{pki,etcd,logs,run,cni,kubelet,containerd,podlogs,audit,volumes}
  network
  access
  local part
  for part in "${parts[@]}"; do "start_$part"; done
  import pause
  fill_in <"$here/config/dns.yaml" | in_netns "$bin/kubectl" apply -f - >/dev/null
  volumes
  wait_for 60 ready
}

down() {
  local each networks=()
  for each in kwok kubelet proxy dns scheduler controllers apiserver etcd; do stop "$each" KILL; done # nothing of it is kept
  for each in $(containerd_client containers ls -q 2>/dev/null); do # the tasks of containerd are processes
    mapfile -t -O ${#networks[@]} networks < <(containerd_client containers info "$each" | grep -o 'netns/cni-[0-9a-f-]*')
    containerd_client tasks rm -f "$each" >/dev/null 2>&1 || true
  done
  stop containerd
  awk -v s="$state/" 'index($2, s) == 1 {print $2}' /proc/mounts | sort -r | xargs -r umount -l
  for each in "${networks[@]}"; do ip netns del "${each#netns/}" 2>/dev/null || true; done
  [ ! -d "$state" ] || ip netns del "$netns" 2>/dev/null || true
  rm -rf "$state" "$kubeconfig"
}

import_image() { # IMAGE NAME
  rm -f "$cache/$2.tar"
  buildah push -q "$1" "docker-archive:$cache/$2.tar:$1"
  import "$2"
  rm "$cache/$2.tar"
}

load() {
  local name id
  mkdir -p "$state/loaded"
  for name in "${images[@]}"; do
    id=$(buildah inspect --type image --format '{{.FromImageID}}' "localhost/taskpost-$name:latest")
    [ "$(cat "$state/loaded/$name" 2>/dev/null)" != "$id" ] || continue
    import_image "localhost/taskpost-$name:latest" "$name"
    containerd_client images tag --force "localhost/taskpost-$name:latest" "localhost/taskpost-$name:$version" >/dev/null
    echo "$id" >"$state/loaded/$name"
  done
}

# Volumes are made beforehand: a claim gets one as soon as a pod wants it, and nothing makes or empties them by itself.
volumes() {
  local number used new=() released=()
  read -ra released <<<"$(in_netns "$bin/kubectl" get pv -o 'jsonpath={.items[?(@.status.phase=="Released")].metadata.name}')"
  [ ${#released[@]} -eq 0 ] || in_netns "$bin/kubectl" delete pv "${released[@]}" >/dev/null
  used=" $(in_netns "$bin/kubectl" get pv -o 'jsonpath={.items[*].metadata.name}') "
  for number in $(seq 20); do
    case $used in *" volume-$number "*) continue ;; esac
    rm -rf "$state/volumes/$number"
    mkdir "$state/volumes/$number"
    chmod 777 "$state/volumes/$number" # a pod's user may be any
    new+=("$number")
  done
  {
    cat "$here/config/storage-class.yaml"
    for number in "${new[@]}"; do sed "s|@NUMBER@|$number|g" "$here/config/volume.yaml"; done
  } | fill_in | in_netns "$bin/kubectl" apply -f - >/dev/null
}

# What wants to be there tolerates the taint `kwok.x-k8s.io/node` and selects the label `type: kwok`.
kwok() {
  local number
  stop kwok
  start_kwok "${2:-}"
  for number in $(seq "$1"); do
    sed "s|@NUMBER@|$number|g" "$here/config/kwok-node.yaml"
  done | in_netns "$bin/kubectl" apply -f - >/dev/null
  in_netns "$bin/kubectl" wait node -l type=kwok --for=condition=Ready --timeout=60s >/dev/null
}

mkdir -p "$cache"
case ${1:-} in
  up | down)
    exec 9>"$cache/lock" # for what runs at the same time elsewhere; what is started in the background does not keep it
    flock 9
    "$1"
    ;;
  load | volumes) "$1" ;;
  import) import_image "$2" "$3" ;;
  audit) cat "$state/audit/audit.log" ;;
  address) echo "$node_ip" ;;
  kwok) kwok "$2" "${3:-}" ;;
  stop) stop "$2" "${3:-TERM}" ;;
  start) "start_$2" ;;
  exec)
    shift
    PATH=$bin:$PATH in_netns "$@"
    ;;
  *) sed -n '2,13s/^# \{0,1\}//p' "$0" && exit 2 ;;
esac
