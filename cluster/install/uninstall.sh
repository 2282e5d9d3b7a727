#!/usr/bin/env bash
# Removes what install.sh installed, by whichever way it came and whatever of it is still there, so it can be run again. It
# refuses while there are AIDispatchers or what they are made of: workers, and what is kept of memories, would be left without
# their provider. Provider configurations go with their kinds.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ -z "${KUBECONFIG:-}" ]; then
  KUBECONFIG=$(go run -C cluster/local . kubeconfig) || exit 1
  export KUBECONFIG
fi

fail() { echo "$*" >&2; exit 1; }

# A kind that is not served has no objects, and to ask for some would be an error like any other.
served() { [ -n "$(kubectl get crd "$1" --ignore-not-found -o name)" ]; }
# names prints the objects of the kinds that are served.
names() {
  local kind
  for kind; do
    if served "$kind"; then
      # One that is just going cannot be asked any more.
      kubectl get "$kind" -A --ignore-not-found -o name || kubectl wait --for=delete "crd/$kind" --timeout=10s >/dev/null || return
    fi
  done
}
# gone waits until a kind is no longer served.
gone() {
  local kind
  for kind; do
    served "$kind" || continue
    kubectl wait --for=delete "crd/$kind" --timeout=60s >/dev/null 2>&1 || true
    left=$(kubectl get "crd/$kind" --ignore-not-found -o name)
    [ -z "$left" ] || fail "the kind $kind does not go: kubectl describe crd/$kind says why. Then run this again"
  done
}

kubectl version >/dev/null # Or why it does not reach the cluster.
served configurations.pkg.crossplane.io ||
  fail "the cluster of $KUBECONFIG does not run Crossplane: install it again, and run this again, or its finalizers keep what is left"

left=$(names aidispatchers.southwest.ai | wc -l)
[ "$left" -eq 0 ] || fail "there are $left AIDispatchers, whose workers would be removed with them: delete them first (kubectl get ad -A)"

# Those of pools that were just deleted go by themselves.
managed=(vectorcollections.agent.southwest.ai checkpoints.agent.southwest.ai agentscalers.agent.southwest.ai)
for _ in $(seq 30); do
  left=$(names xaidispatchers.southwest.ai "${managed[@]}")
  [ -n "$left" ] || break
  sleep 1
done
[ -z "$left" ] || fail "there is left of pools, and only Crossplane and the provider can let go of it: delete it first
$left"

kubectl delete configuration.pkg.crossplane.io --ignore-not-found --wait --timeout=60s \
  southwest-ai-configuration-aidispatcher southwest-ai-configuration-aidispatcher-claim
kubectl delete composition.apiextensions.crossplane.io aidispatcher --ignore-not-found
# The definitions go with their configuration; wait, or what is installed next would meet them.
gone aidispatchers.southwest.ai xaidispatchers.southwest.ai
# While the provider runs: it takes its finalizer off them, and without it their kinds could not go, nor be installed anew.
for kind in providerconfigs.agent.southwest.ai clusterproviderconfigs.agent.southwest.ai; do
  served "$kind" || continue
  kubectl delete "$kind" --all -A --wait --timeout=60s ||
    fail "the $kind above do not go: their finalizer is the provider's, which must run (kubectl get pods -n crossplane-system). Then run this again"
done
kubectl delete provider.pkg.crossplane.io southwest-ai-provider-aidispatcher --ignore-not-found --wait --timeout=60s
kubectl delete function.pkg.crossplane.io southwest-ai-function-aidispatcher --ignore-not-found --wait --timeout=60s
# What packages cannot carry has the same names in either form of the API, of whatever version and from whatever registry.
kubectl kustomize cluster/install/base | kubectl delete --ignore-not-found --timeout=60s -f -
gone "${managed[@]}" providerconfigs.agent.southwest.ai clusterproviderconfigs.agent.southwest.ai providerconfigusages.agent.southwest.ai
# A provider that still runs would make its lease anew.
kubectl wait --for=delete pods -n crossplane-system -l pkg.crossplane.io/provider=southwest-ai-provider-aidispatcher --timeout=60s >/dev/null
kubectl delete lease -n crossplane-system crossplane-leader-election-provider-aidispatcher --ignore-not-found
echo "AIDispatcher is removed"
