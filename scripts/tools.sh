#!/usr/bin/env bash
# Helm and kubectl in the versions of tests/cluster/go, actionlint, and with the argument `kind` also that: built by Go from their
# modules, whose checksums Go verifies. For GitHub's machines; here tests/cluster/build.sh makes what is needed.
set -euo pipefail
bin=${TASKPOST_CLUSTER_BIN:-$HOME/.local/bin}
mkdir -p "$bin"
export GOBIN=$bin CGO_ENABLED=0
go -C tests/cluster/go/helm install helm.sh/helm/v3/cmd/helm
go -C tests/cluster/go/kubernetes install k8s.io/kubernetes/cmd/kubectl
go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
[ "${1:-}" != kind ] || go install sigs.k8s.io/kind@v0.33.0
[ -z "${GITHUB_PATH:-}" ] || echo "$bin" >>"$GITHUB_PATH"
