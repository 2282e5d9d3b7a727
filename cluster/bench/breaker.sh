#!/usr/bin/env bash
# A hundred workers become ready one by one, on nodes that KWOK plays: does Crossplane's circuit breaker stay closed, and
# is what the pool says right in the end? TRICKLES lists within what times they do; "10s 100s" where it is not set.
set -euo pipefail
cd "$(dirname "$0")/../.."

go run -C cluster/local . build kwok
KWOK_MODULE=$(cd cluster/third_party/kwok && go mod download sigs.k8s.io/kwok && go list -m -f '{{.Dir}}' sigs.k8s.io/kwok)
export KWOK_MODULE
RUN=TestTrickle exec cluster/bench/bench.sh
