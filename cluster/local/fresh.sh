# Sourced by scripts that need a cluster: without KUBECONFIG it starts a fresh one of this machine, in place of the one that may run.
if [ -z "${KUBECONFIG:-}" ]; then
  go run -C cluster/local . down
  go run -C cluster/local . up
  KUBECONFIG=$(go run -C cluster/local . kubeconfig)
  export KUBECONFIG
fi
