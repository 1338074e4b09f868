#!/usr/bin/env bash
# Get what the node is made of: Debian's packages, and the programs of Kubernetes from their Go modules.
# Does only what is missing; go.mod has the versions. README.md says how long the first time takes.
. "$(dirname "$0")/common.sh"

packages() {
  local missing=() each
  for each in containerd:containerd runc:runc buildah:buildah debootstrap:debootstrap iptables:iptables conntrack:conntrack \
    socat:socat ethtool:ethtool openssl:openssl curl:curl gcc:gcc ip:iproute2 /usr/lib/cni/bridge:containernetworking-plugins; do
    command -v "${each%%:*}" >/dev/null || missing+=("${each#*:}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || fail "needed, and not here: ${missing[*]}"
  say "installing ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" libc6-dev >/dev/null
}

program() { # MODULE PROGRAM PACKAGE [LDFLAGS]
  local made_from="$here/go/$1/go.mod"
  [ "$bin/$2" -nt "$made_from" ] && return
  say "building $2"
  (cd "$here/go/$1" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w ${4:-}" -o "$bin/$2" "$3")
  touch "$bin/$2"
}

programs() {
  command -v go >/dev/null || fail "the node is built from Go modules: install Go 1.21 or later, which fetches the version it needs itself"
  mkdir -p "$bin"
  local v each minor # the Kubernetes module's version is the cluster's version
  v=$(sed -n 's/^.*k8s.io\/kubernetes \(v[0-9.]*\).*/\1/p' "$here/go/kubernetes/go.mod")
  minor=${v#v1.}
  local x=k8s.io/component-base/version
  local version_flags="-X $x.gitVersion=$v -X $x.gitMajor=1 -X $x.gitMinor=${minor%%.*}"
  for each in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do
    program kubernetes "$each" "k8s.io/kubernetes/cmd/$each" "$version_flags"
  done
  program etcd etcd go.etcd.io/etcd/server/v3
  program coredns coredns github.com/coredns/coredns
  # Without a cluster Helm assumes this version; else 1.20, which the chart refuses.
  x=helm.sh/helm/v3/pkg
  program helm helm helm.sh/helm/v3/cmd/helm \
    "-X $x/chartutil.k8sVersionMajor=1 -X $x/chartutil.k8sVersionMinor=${minor%%.*} -X $x/lint/rules.k8sVersionMajor=1 -X $x/lint/rules.k8sVersionMinor=${minor%%.*}"
  program kwok kwok sigs.k8s.io/kwok/cmd/kwok
}

[ "$(id -u)" = 0 ] || fail "the node needs root: its containers, its network and its mounts are the kernel's"
packages
programs
