#!/usr/bin/env bash
# Goes the ways by which AIDispatcher comes into a cluster and out of it, on an empty cluster of this machine, beginning with make
# demo, or on that of KUBECONFIG, in which AIDispatcher must not be installed. FLAVORS says in which forms of the API; RUN selects tests.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ -z "${KUBECONFIG:-}" ]; then
  # The cluster is the one that make demo starts, which is the first thing that a reader of the README does. Then it is emptied.
  go run -C cluster/local . down
  mkdir -p _output
  make --no-print-directory demo FLAVOR=namespaced CATALOG=example | tee _output/demo.txt
  KUBECONFIG=$(go run -C cluster/local . kubeconfig)
  export KUBECONFIG
  FLAVOR=namespaced go test -tags e2e -count=1 -v -timeout 5m -run '^TestDemo$' ./cluster/e2e
  kubectl delete ad --all -n team-a --timeout=2m
  kubectl delete namespace team-a
  make --no-print-directory uninstall
fi

go run -C cluster/local . build crossplane versitygw argo-cd kustomize
make --no-print-directory push

for FLAVOR in ${FLAVORS:-namespaced claim}; do
  export FLAVOR
  make --no-print-directory install-yaml
  go test -tags e2e -count=1 -v -timeout 20m -run "${RUN:-^TestPath}" ./cluster/e2e
done
