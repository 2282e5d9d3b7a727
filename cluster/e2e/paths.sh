#!/usr/bin/env bash
# Goes the ways by which AIDispatcher comes into a cluster and out of it, on an empty cluster of this machine or on that of
# KUBECONFIG, in which AIDispatcher must not be installed. FLAVORS says in which forms of the API; RUN selects tests.
set -euo pipefail
cd "$(dirname "$0")/../.."

. cluster/local/fresh.sh

go run -C cluster/local . build crossplane versitygw
make --no-print-directory push

for FLAVOR in ${FLAVORS:-namespaced claim}; do
  export FLAVOR
  make --no-print-directory install-yaml
  go test -tags e2e -count=1 -v -timeout 20m -run "${RUN:-^TestPath}" ./cluster/e2e
done

# What Git says for Argo CD, brought by Argo CD's own engine to the same cluster, which is empty again.
export VERSION FLAVOR=namespaced
make --no-print-directory install-yaml
(cd cluster/argocd && go test -tags 'integration e2e' -count=1 -v -timeout 15m -run "${RUN:-^TestPath}" .)
