#!/usr/bin/env bash
# Measures what a user waits for, and what the parts weigh, on the cluster of KUBECONFIG or a fresh one of this machine.
set -euo pipefail
cd "$(dirname "$0")/../.."

. cluster/local/fresh.sh
make --no-print-directory install
go test -tags bench -count=1 -v -timeout 20m -run "${RUN:-TestEditToReplicas|TestMemoryAtRest}" ./cluster/bench | grep -v '^=== RUN'
