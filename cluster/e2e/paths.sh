#!/usr/bin/env bash
# Goes the ways by which AIDispatcher comes into a cluster and out of it, on an empty cluster of this machine or on that of
# KUBECONFIG, in which AIDispatcher must not be installed. RUN selects tests.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ -z "${KUBECONFIG:-}" ]; then
  go run -C cluster/local . down
  go run -C cluster/local . up
  KUBECONFIG=$(go run -C cluster/local . kubeconfig)
  export KUBECONFIG
fi

go run -C cluster/local . build crossplane versitygw
export FLAVOR=namespaced
make --no-print-directory push install-yaml
go test -tags e2e -count=1 -v -timeout 20m -run "${RUN:-^TestPath}" ./cluster/e2e
