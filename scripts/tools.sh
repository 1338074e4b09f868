#!/usr/bin/env bash
# Helm and kubectl in the versions of tests/cluster/go, actionlint, and with the argument `kind` also that: built by Go from their
# modules, whose checksums Go verifies. What is there already, from a cache that is keyed by all these versions, is not built again.
# For GitHub's machines; here tests/cluster/build.sh makes what is needed.
set -euo pipefail
bin=${TASKPOST_CLUSTER_BIN:-$HOME/.local/share/taskpost-tools}
mkdir -p "$bin"
export GOBIN=$bin CGO_ENABLED=0
tool() { # NAME PACKAGE [DIRECTORY OF ITS MODULE]
  [ -x "$bin/$1" ] && return
  go ${3:+-C "$3"} install "$2"
}
tool helm helm.sh/helm/v3/cmd/helm tests/cluster/go/helm
tool kubectl k8s.io/kubernetes/cmd/kubectl tests/cluster/go/kubernetes
tool actionlint github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
[ "${1:-}" != kind ] || tool kind sigs.k8s.io/kind@v0.33.0
[ -z "${GITHUB_PATH:-}" ] || echo "$bin" >>"$GITHUB_PATH"
