#!/usr/bin/env bash
# The model proxy beside nginx as a plain proxy, in one run. The proxies run on one core; who asks and who answers on the other.
set -euo pipefail
cd "$(dirname "$0")/../.."

command -v nginx >/dev/null || PATH=$PATH:/usr/sbin
command -v nginx >/dev/null || { echo "this needs nginx: apt-get install nginx-light" >&2; exit 1; }
go build -ldflags "-s -w" -o _output/bin/monitor ./cmd/monitor
go test -tags bench -c -o _output/bin/bench.test ./cluster/bench
ulimit -n "$(ulimit -Hn)"
cd cluster/bench
taskset -c 0 ../../_output/bin/bench.test -test.run '^TestProxy$' -test.v -test.timeout 30m | grep -v '^=== RUN'
