#!/usr/bin/env bash
# Saves and restores three states with ours, restic and tar with zstd, in one run. Needs restic, zstd and python3, and 12 GiB of disk.
# STATE_OF is a part of the name of the one to measure, such as SQLite.
set -euo pipefail
cd "$(dirname "$0")/../.."

go test -tags bench -count=1 -v -timeout 60m -run '^TestCheckpoints$' ./cluster/bench/checkpoints | grep -v '^=== RUN'
