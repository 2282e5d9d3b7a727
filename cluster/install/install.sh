#!/usr/bin/env bash
# Installs AIDispatcher into a cluster that runs Crossplane, the way a platform team would: what packages cannot carry
# from _output/install.yaml, then the Configuration, which brings the Function and the Provider along.
# Needs REGISTRY, VERSION and FLAVOR (namespaced or claim); KUBECONFIG, or the cluster of this machine. With CATALOG=keep the
# Composition that is in the cluster stays as it is.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ -z "${KUBECONFIG:-}" ]; then
  KUBECONFIG=$(go run -C cluster/local . kubeconfig) || exit 1
  export KUBECONFIG
fi

case ${FLAVOR:?namespaced or claim} in
  namespaced) configuration=configuration-aidispatcher ;;
  claim)      configuration=configuration-aidispatcher-claim ;;
  *) echo "FLAVOR is $FLAVOR and must be namespaced or claim" >&2; exit 1 ;;
esac

kubectl get crd configurations.pkg.crossplane.io >/dev/null 2>&1 || {
  echo "the cluster of $KUBECONFIG does not run Crossplane: install it first, or run make demo for a cluster on this machine" >&2
  exit 1
}

# waits until a package says that it is installed and healthy, and shows why when it does not.
wait_healthy() {
  for _ in $(seq 60); do
    kubectl get "$1" >/dev/null 2>&1 && break
    sleep 1
  done
  kubectl wait --for=condition=Healthy --timeout=120s "$1" >/dev/null || {
    kubectl describe "$1" | tail -30 >&2
    echo "$1 did not become healthy" >&2
    exit 1
  }
  echo "  $1 is healthy"
}

echo "installing AIDispatcher $VERSION ($FLAVOR) from $REGISTRY"
selector=()
if [ "${CATALOG:-example}" = keep ]; then
  selector=(-l southwest.ai/catalog!=example)
fi
kubectl apply --server-side --force-conflicts -f _output/install.yaml "${selector[@]}" | sed 's/^/  /'
# An upgrade: Crossplane brings dependencies along when they are missing, and leaves those it has as they are.
for package in function provider; do
  kind=$package.pkg.crossplane.io name=southwest-ai-$package-aidispatcher
  if kubectl get "$kind/$name" >/dev/null 2>&1; then
    kubectl patch "$kind/$name" --type=merge -p "{\"spec\":{\"package\":\"$REGISTRY/southwest-ai/$package-aidispatcher:$VERSION\"}}" | sed 's/^/  /'
  fi
done
kubectl apply --server-side --force-conflicts -f - >/dev/null <<YAML
apiVersion: pkg.crossplane.io/v1
kind: Configuration
metadata:
  name: southwest-ai-$configuration
spec:
  package: $REGISTRY/southwest-ai/$configuration:$VERSION
YAML
wait_healthy "configuration.pkg.crossplane.io/southwest-ai-$configuration"
wait_healthy function.pkg.crossplane.io/southwest-ai-function-aidispatcher
wait_healthy provider.pkg.crossplane.io/southwest-ai-provider-aidispatcher

if [ "${1:-}" = --provider-image ]; then
  kubectl patch deploymentruntimeconfig.pkg.crossplane.io aidispatcher-provider --type=json \
    -p "[{\"op\":\"add\",\"path\":\"/spec/deploymentTemplate/spec/template/spec/containers/0/image\",\"value\":\"${2:?an image}\"}]"
fi

kubectl wait --for=condition=Established --timeout=60s crd/aidispatchers.southwest.ai >/dev/null
echo "  $(kubectl get crd aidispatchers.southwest.ai -o jsonpath='{.spec.names.kind}') is served: kubectl get ad"
