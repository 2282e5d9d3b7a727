#!/usr/bin/env bash
# Has one provider look after a thousand pools whose sizes follow their load: what does it take while nothing changes, and how soon is a size
# another when the load is? Then KEDA the same, with its operator and adapter, which take some minutes to compile. POOLS is how many
# (1000), REST for how long they are watched (3m), EDITS how often a load is changed (20).
set -euo pipefail
cd "$(dirname "$0")/../.."

command -v prometheus > /dev/null || { echo "this needs Prometheus: apt-get install prometheus" >&2; exit 1; }
go run -C cluster/local . build kubernetes keda-operator keda-adapter
KEDA_CRDS=$(cd cluster/third_party/keda && go mod download github.com/kedacore/keda/v2 && go list -m -f '{{.Dir}}' github.com/kedacore/keda/v2)/config/crd/bases
export KEDA_CRDS
KUBEBUILDER_ASSETS=${AIDISPATCHER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/aidispatcher}/bin
export KUBEBUILDER_ASSETS
go test -tags bench -count=1 -v -timeout 80m -run "${RUN:-^(TestPoolsAtRest|TestQueueToReplicas)$}" ./cluster/bench | grep -v '^=== RUN'
