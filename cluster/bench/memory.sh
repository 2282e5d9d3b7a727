#!/usr/bin/env bash
# Has one provider look after a thousand collections: how soon are they ready, and what does it take to keep them so?
# COLLECTIONS is how many (1000), REST for how long they are watched at rest (3m).
set -euo pipefail
cd "$(dirname "$0")/../.."

go run -C cluster/local . build kubernetes chroma
KUBEBUILDER_ASSETS=${AIDISPATCHER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/aidispatcher}/bin
export KUBEBUILDER_ASSETS
go test -tags bench -count=1 -v -timeout 30m -run '^TestCollections$' ./cluster/bench | grep -v '^=== RUN'
