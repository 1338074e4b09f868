#!/bin/sh
# Renders manifests/base and manifests/install.yaml from the chart's defaults anew. Needs helm and kubectl.
# tests/deploy/test_manifests.py fails where this was forgotten.
set -eu
cd "$(dirname "$0")"
rm -f base/*.yaml

# The Secrets are named and not made: manifests/secrets.sh makes them. Each template becomes a file of the same name,
# without what is Helm's own.
helm template taskpost ../helm --namespace taskpost --skip-tests --kube-version 1.31.0 \
    --set redis.existingSecret=taskpost-redis,runner.existingSecret=taskpost-runner |
    sed -e '/^ *helm\.sh\/chart:/d' -e '/^ *app\.kubernetes\.io\/managed-by:/d' -e '/^ *namespace: "taskpost"$/d' |
    awk '/^---$/ { next }
         /^# Source:/ { sub(".*/", "", $3); file = "base/" $3; if (seen[file]++) print "---" > file; next }
         { print > file }'
{
    printf 'apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n'
    for file in base/*.yaml; do printf '  - %s\n' "$(basename "$file")"; done
} >kustomization
mv kustomization base/kustomization.yaml
{
    echo '# Rendered from manifests/overlays/default by manifests/render.sh: do not edit. See docs/kubernetes.md.'
    kubectl kustomize overlays/default
} >install.yaml
