#!/usr/bin/env bash
# Measures what a user waits for, and what the parts weigh, on the cluster of KUBECONFIG or a fresh one of this machine.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ -z "${KUBECONFIG:-}" ]; then
  go run -C cluster/local . down
  go run -C cluster/local . up
  KUBECONFIG=$(go run -C cluster/local . kubeconfig)
  export KUBECONFIG
fi
make --no-print-directory install
go test -tags bench -count=1 -v -timeout 20m -run "${RUN:-TestEditToReplicas|TestMemoryAtRest}" ./cluster/bench | grep -v '^=== RUN'
