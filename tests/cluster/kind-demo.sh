#!/usr/bin/env bash
# Taskpost on a cluster of kind, from this tree: needs Docker, kind, kubectl, helm and curl. `make cluster-down` removes it all.
. "$(dirname "$0")/common.sh"

for each in docker kind kubectl helm curl; do
  command -v "$each" >/dev/null || fail "$each is needed, and not here"
done
export TASKPOST_CLUSTER=kind KUBECONFIG=$kubeconfig
"$here/cluster.sh" up
helm upgrade --install taskpost "$root/helm" --namespace taskpost --create-namespace --values "$here/values.yaml" --wait --timeout 3m

kubectl --namespace taskpost port-forward service/taskpost 8000:80 >/dev/null &
forward=$!
trap 'kill $forward' EXIT
url=http://127.0.0.1:8000
wait_for 20 curl -sf "$url/readyz"
say "a task, and what the service says of it at its end:"
curl -sf "$url/api/tasks" -H 'Content-Type: application/json' \
  -d '{"task_type": "fibonacci", "task_input": {"n": 100}, "result_url": null}'
echo
wait_for 120 sh -c "curl -sf $url/api/tasks | grep -q '\"done\"'"
curl -sf "$url/api/tasks" && echo
say "Its Job and pod are in the namespace taskpost. For more: KUBECONFIG=$kubeconfig kubectl -n taskpost port-forward service/taskpost 8000:80"
