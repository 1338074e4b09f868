# shellcheck shell=bash disable=SC2034,SC2154
# What the node is made of, and how each part is started and stopped. To be sourced after common.sh.

parts=(etcd apiserver controllers scheduler containerd kubelet proxy dns) # in the order of their starts

in_netns() { # not `ip netns exec`, which would hide /sys/fs/cgroup
  KUBECONFIG=$kubeconfig nsenter --net="/run/netns/$netns" "$@"
}
containerd_client() { ctr -a "$state/run/containerd.sock" -n k8s.io "$@"; }
import() { containerd_client images import "$cache/$1.tar" >/dev/null; }

answers() { [ -e "/run/netns/$netns" ] && [ -e "$kubeconfig" ] && ready; }
ready() {
  in_netns "$bin/kubectl" get node node-1 2>/dev/null | grep -q ' Ready' &&
    in_netns "$bin/kubectl" get serviceaccount default >/dev/null 2>&1
}

fill_in() { # the @NAMES@ in a file of config/
  sed "s|@STATE@|$state|g; s|@KUBECONFIG@|$kubeconfig|g; s|@NODE_IP@|$node_ip|g; s|@POD_CIDR@|$pod_cidr|g; s|@DNS_IP@|$dns_ip|g"
}
config() { fill_in <"$here/config/$1" >"${2:-$state/$1}"; }

start() { # NAME CMD...: in the background, in a session of its own, that outlives the terminal; its log and its pid are under its name
  local name=$1
  shift
  # The node shares its cores with what is measured and has memory to spare, so Go collects its garbage less often.
  # Again when it ends by itself, as a real node does it: after an outage the scheduler gives up, to begin with a clean cache.
  setsid bash -c 'while true; do "$@"; echo "ended with $?"; sleep 1; done' "$name" env GOGC=400 GOMEMLIMIT=3GiB nsenter --net="/run/netns/$netns" "$@" \
    >>"$state/logs/$name.log" 2>&1 9>&- </dev/null &
  echo $! >"$state/run/$name.pid"
}

stop() { # NAME [SIGNAL]: only if the pid is still the session that we started
  local pid
  pid=$(cat "$state/run/$1.pid" 2>/dev/null) || return 0
  if grep -qaF -e "$bin/" -e "$state/" "/proc/$pid/cmdline" 2>/dev/null; then
    kill "-${2:-TERM}" -- "-$pid" 2>/dev/null || true
    for _ in $(seq 100); do
      kill -0 -- "-$pid" 2>/dev/null || break
      sleep 0.1
    done
    kill -KILL -- "-$pid" 2>/dev/null || true
  fi
  rm -f "$state/run/$1.pid"
}

network() {
  ip netns add "$netns"
  in_netns ip link set lo up
  in_netns ip link add node0 type bridge # the kernel may have no dummy device
  in_netns ip address add "$node_ip/24" dev node0
  in_netns ip link set node0 up
  in_netns ip route add default dev node0
  in_netns sysctl -qw net.ipv4.ip_forward=1
}

access() { # keys, and one kubeconfig for all
  openssl genrsa -out "$state/pki/sa.key" 2048 2>/dev/null
  openssl rsa -in "$state/pki/sa.key" -pubout -out "$state/pki/sa.pub" 2>/dev/null
  echo 'admin-token,admin,admin,"system:masters"' >"$state/pki/tokens.csv"
  config kubeconfig "$kubeconfig"
}

start_etcd() {
  start etcd "$bin/etcd" --data-dir "$state/etcd" --unsafe-no-fsync --listen-peer-urls http://127.0.0.1:2380 \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379
}

start_apiserver() { # calls are counted from its audit log, which is therefore one file
  start apiserver "$bin/kube-apiserver" --etcd-servers http://127.0.0.1:2379 --advertise-address "$node_ip" --secure-port 6443 \
    --cert-dir "$state/pki" --service-cluster-ip-range "$service_cidr" --authorization-mode RBAC --allow-privileged=true \
    --token-auth-file "$state/pki/tokens.csv" --service-account-issuer https://kubernetes.default.svc \
    --service-account-key-file "$state/pki/sa.pub" --service-account-signing-key-file "$state/pki/sa.key" \
    --kubelet-preferred-address-types InternalIP --audit-policy-file "$here/config/audit.yaml" \
    --audit-log-path "$state/audit/audit.log" --audit-log-maxsize 4096
  wait_for 60 in_netns curl -sfk https://127.0.0.1:6443/readyz
}

start_controllers() { # with the default of 20 calls a second, they would be what is measured
  start controllers "$bin/kube-controller-manager" --kubeconfig "$kubeconfig" --leader-elect=false --controllers='*,-nodeipam' \
    --service-account-private-key-file "$state/pki/sa.key" --root-ca-file "$state/pki/apiserver.crt" --use-service-account-credentials \
    --kube-api-qps 500 --kube-api-burst 1000 --concurrent-job-syncs 20
}

start_scheduler() {
  start scheduler "$bin/kube-scheduler" --kubeconfig "$kubeconfig" --leader-elect=false --kube-api-qps 500 --kube-api-burst 1000
}

start_containerd() {
  config containerd.toml
  config 10-bridge.conflist "$state/cni/10-bridge.conflist"
  [ -e "$cache/pause.tar" ] || pause_image
  start containerd containerd --config "$state/containerd.toml"
  wait_for 30 containerd_client version
}

start_kubelet() {
  echo "nameserver 127.0.0.1" >"$state/resolv.conf"
  config kubelet.yaml
  start kubelet "$bin/kubelet" --config "$state/kubelet.yaml" --kubeconfig "$kubeconfig" --root-dir "$state/kubelet" \
    --cert-dir "$state/kubelet/pki" --hostname-override node-1 --node-ip "$node_ip"
}

start_proxy() {
  start proxy "$bin/kube-proxy" --kubeconfig "$kubeconfig" --proxy-mode iptables --cluster-cidr "$pod_cidr" --hostname-override node-1 \
    --conntrack-max-per-core 0 --conntrack-tcp-timeout-established 0 --conntrack-tcp-timeout-close-wait 0
}

start_dns() {
  config Corefile
  start dns "$bin/coredns" -conf "$state/Corefile"
}

start_kwok() { # [stay]: the stages of what it pretends are files of the module
  local stages stage configs=()
  stages=$(cd "$here/go/kwok" && go list -m -f '{{.Dir}}' sigs.k8s.io/kwok)/kustomize/stage
  for stage in "$stages"/node/fast/node-*.yaml "$stages"/node/heartbeat/node-*.yaml "$stages"/pod/fast/pod-*.yaml; do
    [ "${1:-}" = stay ] && [ "${stage##*/}" = pod-complete.yaml ] && continue
    configs+=(--config "$stage")
  done
  start kwok "$bin/kwok" --kubeconfig "$kubeconfig" --manage-nodes-with-label-selector type=kwok --node-ip "$node_ip" "${configs[@]}"
}

pause_image() { # the container that holds the network of a pod, and does nothing
  local files
  files=$(mktemp -d)
  gcc -static -Os -o "$files/pause" -xc - <<'C'
#include <signal.h>
#include <unistd.h>
static void stop(int number) { _exit(0); }
int main(void) { signal(SIGTERM, stop); signal(SIGINT, stop); for (;;) pause(); }
C
  printf 'FROM scratch\nCOPY pause /pause\nENTRYPOINT ["/pause"]\n' >"$files/Dockerfile"
  buildah bud --isolation chroot -q -t localhost/pause:1 "$files" >/dev/null
  buildah push -q localhost/pause:1 "docker-archive:$cache/pause.tar:localhost/pause:1"
  rm -rf "$files"
}
