#!/usr/bin/env bash
# Removes what install.sh installed. It refuses while there are AIDispatchers: their workers would go with them.
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

kubectl delete configuration.pkg.crossplane.io --ignore-not-found --wait --timeout=60s \
  southwest-ai-configuration-aidispatcher southwest-ai-configuration-aidispatcher-claim
kubectl delete composition.apiextensions.crossplane.io aidispatcher --ignore-not-found
# The definitions go with their configuration; wait, or what is installed next would meet them.
for crd in aidispatchers.southwest.ai xaidispatchers.southwest.ai; do
  kubectl wait --for=delete "crd/$crd" --timeout=60s 2>/dev/null || true
done
kubectl delete provider.pkg.crossplane.io southwest-ai-provider-aidispatcher --ignore-not-found --wait --timeout=60s
kubectl delete function.pkg.crossplane.io southwest-ai-function-aidispatcher --ignore-not-found --wait --timeout=60s
[ -f _output/install.yaml ] && kubectl delete -f _output/install.yaml --ignore-not-found
echo "AIDispatcher is removed; the definitions of its kinds stay until the package manager has collected them"
