#!/usr/bin/env bash
# Install Kueue on the cluster that runs, or with -down uninstall it: built from its Go module, installed by the chart in that module.
# Does only what is missing. Its configuration is config/kueue.yaml.
. "$(dirname "$0")/common.sh"

namespace=kueue-system
kueue_version=$(sed -n 's/^.*sigs.k8s.io\/kueue \(v[0-9.]*\).*/\1/p' "$here/go/kueue/go.mod")
image=localhost/kueue:$kueue_version
on_cluster() { "$here/cluster.sh" exec "$@"; }

image() {
  local made
  made=$(mktemp -d)
  say "building kueue"
  (cd "$here/go/kueue" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w" -o "$made/manager" sigs.k8s.io/kueue/cmd/kueue)
  printf 'FROM scratch\nCOPY manager /manager\nUSER 65532:65532\nENTRYPOINT ["/manager"]\n' >"$made/Dockerfile"
  if [ "$kind" = kind ]; then
    docker build --quiet -t "$image" "$made" >/dev/null
  else
    buildah bud --isolation chroot --quiet -t "$image" "$made" >/dev/null
  fi
  rm -rf "$made"
}

has_image() {
  if [ "$kind" = kind ]; then docker image inspect "$image"; else buildah inspect --type image "$image"; fi >/dev/null 2>&1
}

down() { # its objects first: without it nothing takes their finalizers off
  local each
  on_cluster kubectl wait --for=delete workloads.kueue.x-k8s.io --all --all-namespaces --timeout=60s >/dev/null 2>&1 || true
  for each in localqueues clusterqueues resourceflavors workloadpriorityclasses; do
    on_cluster kubectl delete "$each.kueue.x-k8s.io" --all --all-namespaces --timeout=60s >/dev/null 2>&1 || true
  done
  on_cluster helm uninstall kueue --namespace "$namespace" --wait --timeout 2m >/dev/null
}

kind=$(cluster_kind)
[ "${1:-}" != -down ] || { down && exit; }
on_cluster kubectl --namespace "$namespace" get deployment kueue-controller-manager >/dev/null 2>&1 && exit
has_image || image
"$here/$kind.sh" import "$image" kueue
chart=$(cd "$here/go/kueue" && go list -m -f '{{.Dir}}' sigs.k8s.io/kueue)/charts/kueue
say "installing kueue $kueue_version"
on_cluster helm install kueue "$chart" --namespace "$namespace" --create-namespace --wait --timeout 3m \
  --values "$here/config/kueue.yaml" --set "controllerManager.manager.image.tag=$kueue_version" >/dev/null
