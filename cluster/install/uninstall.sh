#!/usr/bin/env bash
# Removes what install.sh installed. It refuses while there are AIDispatchers or what they are made of: workers, and what
# is kept of memories, would be left without their provider. Provider configurations go with their kinds.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ -z "${KUBECONFIG:-}" ]; then
  KUBECONFIG=$(go run -C cluster/local . kubeconfig) || exit 1
  export KUBECONFIG
fi

left=$(kubectl get aidispatchers.southwest.ai -A --no-headers 2>/dev/null | wc -l)
if [ "$left" -gt 0 ]; then
  echo "there are $left AIDispatchers, whose workers would be removed with them: delete them first (kubectl get ad -A)" >&2
  exit 1
fi

# Those of pools that were just deleted go by themselves.
managed=vectorcollections.agent.southwest.ai,checkpoints.agent.southwest.ai,agentscalers.agent.southwest.ai
for _ in $(seq 30); do
  left=$(kubectl get "$managed" -A -o name 2>/dev/null | wc -l)
  [ "$left" -eq 0 ] && break
  sleep 1
done
if [ "$left" -gt 0 ]; then
  echo "there are $left VectorCollections, Checkpoints and AgentScalers, which only the provider can let go of: delete them first (kubectl get $managed -A)" >&2
  exit 1
fi

kubectl delete configuration.pkg.crossplane.io --ignore-not-found --wait --timeout=60s \
  southwest-ai-configuration-aidispatcher southwest-ai-configuration-aidispatcher-claim
kubectl delete composition.apiextensions.crossplane.io aidispatcher --ignore-not-found
# The definitions go with their configuration; wait, or what is installed next would meet them.
for crd in aidispatchers.southwest.ai xaidispatchers.southwest.ai; do
  kubectl wait --for=delete "crd/$crd" --timeout=60s 2>/dev/null || true
done
# While the provider runs: it takes its finalizer off them, and without it their kinds could not go, nor be installed anew.
for kind in providerconfigs clusterproviderconfigs; do
  kubectl get "crd/$kind.agent.southwest.ai" >/dev/null 2>&1 || continue
  kubectl delete "$kind.agent.southwest.ai" --all -A --wait --timeout=60s
done
kubectl delete provider.pkg.crossplane.io southwest-ai-provider-aidispatcher --ignore-not-found --wait --timeout=60s
kubectl delete function.pkg.crossplane.io southwest-ai-function-aidispatcher --ignore-not-found --wait --timeout=60s
[ -f _output/install.yaml ] && kubectl delete -f _output/install.yaml --ignore-not-found
for kind in vectorcollections checkpoints agentscalers providerconfigs clusterproviderconfigs providerconfigusages; do
  kubectl wait --for=delete "crd/$kind.agent.southwest.ai" --timeout=60s 2>/dev/null || true
  if kubectl get "crd/$kind.agent.southwest.ai" >/dev/null 2>&1; then
    echo "the kind $kind.agent.southwest.ai does not go: kubectl describe crd/$kind.agent.southwest.ai says why" >&2
    exit 1
  fi
done
echo "AIDispatcher is removed"
