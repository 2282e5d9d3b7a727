#!/usr/bin/env bash
# Runs the end-to-end tests of pools that KEDA sizes, with a real KEDA and a real Prometheus, on a fresh cluster of this machine or on that
# of KUBECONFIG, which must be one of this machine's.
set -euo pipefail
cd "$(dirname "$0")/../.."

. cluster/local/fresh.sh

go run -C cluster/local . build keda-operator keda-adapter versitygw
KEDA_MODULE=$(cd cluster/third_party/keda && go mod download github.com/kedacore/keda/v2 && go list -m -f '{{.Dir}}' github.com/kedacore/keda/v2)
bin="$AIDISPATCHER_CACHE/bin"
go run -C cluster/images . images wrap "$bin/keda-operator" /keda "$REGISTRY/third-party/keda:test"
go run -C cluster/images . images wrap "$bin/keda-adapter" /keda-adapter "$REGISTRY/third-party/keda-adapter:test"

# KEDA's own manifests, with our images, and looked at sooner.
manifests=$(mktemp)
trap 'rm -f "$manifests"' EXIT
kubectl kustomize "$KEDA_MODULE/config/minimal" | sed \
  -e "s|image: .*/keda-metrics-apiserver:.*|image: $REGISTRY/third-party/keda-adapter:test|" \
  -e "s|image: .*/keda:.*|image: $REGISTRY/third-party/keda:test|" \
  -e 's|initialDelaySeconds: 2[05]|initialDelaySeconds: 2|' > "$manifests"
kubectl apply --server-side -f "$manifests"
kubectl -n keda rollout status deployment/keda-operator deployment/keda-metrics-apiserver --timeout=180s
kubectl wait --for=condition=Available apiservice/v1beta1.external.metrics.k8s.io --timeout=60s

make --no-print-directory install
go test -tags e2e -count=1 -v -timeout 20m -run "${RUN:-TestKEDA}" ./cluster/e2e
make --no-print-directory uninstall
kubectl delete -f "$manifests" --ignore-not-found --wait --timeout=120s
