#!/usr/bin/env bash
# Shows a pool at work on the cluster of KUBECONFIG, in which AIDispatcher is installed. Prints each command it runs, so
# that it can be typed again.
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${REGISTRY:?}" "${VERSION:?}"

say()  { printf '\n\033[1m%s\033[0m\n' "$*"; }
show() { printf '$ %s\n' "$*"; "$@"; }
now()  { date +%s%3N; }
# waits until a command prints what is wanted, and prints the milliseconds since $1.
until_is() {
  local since=$1 want=$2; shift 2
  for _ in $(seq 1200); do
    [ "$("$@" 2>/dev/null)" = "$want" ] && { echo $(( $(now) - since )); return; }
    sleep 0.05
  done
  echo "waited a minute for $want and got $("$@")" >&2
  return 1
}
pool=(-n team-a ad/coder-agent-pool)
deployment=(kubectl get -n team-a deployment/coder-agent-pool -o)

say "A model server, for agents to talk to"
sed "s|\${REGISTRY}|$REGISTRY|g; s|\${VERSION}|$VERSION|g" cluster/demo/model.yaml | kubectl apply --server-side -f -
kubectl rollout status -n aidispatcher-models deployment/model-server --timeout=60s

say "A team claims a pool of three coders"
kubectl create namespace team-a --dry-run=client -o yaml | kubectl apply --server-side -f - >/dev/null
show kubectl apply -f examples/quickstart/aidispatcher.yaml
kubectl scale "${pool[@]}" --replicas=3 >/dev/null
kubectl wait "${pool[@]}" --for=condition=Ready --timeout=120s >/dev/null
until_is 0 3 "${deployment[@]}" 'jsonpath={.status.availableReplicas}' >/dev/null
until_is 0 Ready kubectl get "${pool[@]}" -o 'jsonpath={.status.currentPhase}' >/dev/null
show kubectl get ad -n team-a
show kubectl get pods -n team-a -L southwest.ai/role

say "One of the agents answers a task (A2A message:send, through the API server's proxy)"
show kubectl create --raw /api/v1/namespaces/team-a/services/http:coder-agent-pool:http/proxy/message:send -f cluster/demo/task.json
echo

say "More work: ten coders"
start=$(now)
show kubectl scale ad/coder-agent-pool -n team-a --replicas=10
asked=$(until_is "$start" 10 "${deployment[@]}" 'jsonpath={.spec.replicas}')
ready=$(until_is "$start" 10 "${deployment[@]}" 'jsonpath={.status.readyReplicas}')
echo "the Deployment asked for 10 after $asked ms, and 10 were ready after $ready ms"
until_is 0 10 kubectl get "${pool[@]}" -o 'jsonpath={.status.replicas}' >/dev/null
show kubectl get ad -n team-a

say "What to try next"
cat <<'TEXT'
  export KUBECONFIG=$(make -s kubeconfig)
  kubectl describe ad coder-agent-pool -n team-a          # conditions and events tell the story
  kubectl scale -n team-a deployment/coder-agent-pool --replicas=1   # it is put back
  kubectl delete pod -n team-a -l southwest.ai/dispatcher=coder-agent-pool --wait=false   # they come back in their slots
  kubectl get agentscalers -n team-a
  kubectl delete ad coder-agent-pool -n team-a
  make demo-down
TEXT
