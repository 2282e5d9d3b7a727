#!/usr/bin/env bash
# Runs the end-to-end tests on a fresh cluster of this machine, or on that of KUBECONFIG: once with the AIDispatcher as a
# namespaced composite resource and once as a claim. FLAVORS says which; RUN selects tests, as go test -run does.
set -euo pipefail
cd "$(dirname "$0")/../.."

. cluster/local/fresh.sh

# The stores in which the tests' pools remember and keep their state.
go run -C cluster/local . build pglite versitygw

# What provider and monitor do among themselves, and takes minutes, is the same in both forms.
same='^(TestScalesOnWork|TestRemovalWhileTheProviderDies|TestRolloutKeepsState|TestProviderKilledAfterCreate|TestProviderRestart|TestStateSurvivesWithoutTheProvider|TestTokensAndTheirCostSurvive)$'

for FLAVOR in ${FLAVORS:-namespaced claim}; do
  export FLAVOR
  skip='^(TestPath|TestDemo$)' # paths.sh runs these.
  [ "$FLAVOR" = namespaced ] || [ -n "${RUN:-}" ] || skip+="|$same"
  make --no-print-directory install
  go test -tags e2e -count=1 -v -timeout 20m -parallel 4 -skip "$skip" ${RUN:+-run "$RUN"} ./cluster/e2e
  make --no-print-directory uninstall
done
