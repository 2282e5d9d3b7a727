# AIDispatcher. `make help` lists what there is; `make demo` shows it running.
SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

REGISTRY ?= 127.0.0.1:5001
VERSION  ?= v0.1.0
# Which form of the API is installed: namespaced composite resources, or claims.
FLAVOR   ?= namespaced
PLATFORMS ?= linux/$(shell go env GOARCH)

# One set of flags for all builds, so that they share Go's build cache.
export CGO_ENABLED := 0
export GOFLAGS     := -trimpath -buildvcs=false
# example installs the example catalog, keep leaves the Composition in the cluster as it is.
CATALOG  ?= example
export REGISTRY VERSION FLAVOR PLATFORMS CATALOG

# What is built of third parties' programs is kept outside the tree.
CACHE  := $(or $(AIDISPATCHER_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/aidispatcher)
LOCAL  := go run -C cluster/local .
IMAGES := go run -C cluster/images .
export PATH := $(CACHE)/bin:$(PATH)
export AIDISPATCHER_CACHE := $(CACHE)

# The modules beside the product's own.
MODULES := cluster/local cluster/images

##@ See it run
.PHONY: demo demo-down kubeconfig
demo: ## Start a cluster on this machine, install AIDispatcher and show a pool at work. Needs Linux and root.
	@$(LOCAL) up
	@export KUBECONFIG=$$($(LOCAL) kubeconfig); $(MAKE) --no-print-directory install && cluster/demo/demo.sh

demo-down: ## Stop that cluster and remove all it made. What was built stays in the cache.
	@$(LOCAL) down

kubeconfig: ## Print the path of that cluster's kubeconfig.
	@$(LOCAL) kubeconfig

##@ Test
.PHONY: test test-all test-slow unit integration e2e bench lint
test: unit integration e2e ## Everything against the parts that every user meets: Kubernetes, Crossplane.

test-all: test test-slow ## All that CI runs.

test-slow: lint race fuzz argocd paths keda ## What test-all adds to test.

unit: ## Tests without a network and without a cluster.
	go test ./...
	@for m in $(MODULES); do echo "cd $$m && go test ./..."; (cd $$m && go test ./...); done

integration: ## Tests against a real API server and etcd, real vector and object stores and a real Prometheus.
	@$(LOCAL) build kubernetes weaviate pglite chroma clients versitygw azurite fake-gcs-server toxiproxy axe agents
	KUBEBUILDER_ASSETS=$(CACHE)/bin go test -tags integration -count=1 ./package/... ./internal/controller/... ./internal/vector/... ./internal/checkpoint/... ./internal/monitor/... ./examples/... ./cmd/provider/... ./cluster/observability ./cluster/docs ./internal/dashboard/... ./internal/cli ./internal/compose

e2e: ## Tests on a cluster of this machine, with the packages installed, once for each form of the API.
	@cluster/e2e/run.sh

.PHONY: race fuzz kwok keda argocd paths
race: ## The tests of what runs concurrently, under the race detector; of exhaustive ones, whose order is fixed, a part.
	CGO_ENABLED=1 go test -race -short ./internal/monitor/... ./internal/checkpoint/... ./internal/compose/... ./internal/vector/... ./internal/worker/... ./internal/controller/vectorcollection/... ./internal/controller/checkpoint/... ./internal/controller/slot/... ./internal/controller/load/... ./internal/controller/agentscaler/... ./examples/agent/... ./cluster/model/...

fuzz: ## Each fuzz test for a short while.
	go test ./internal/compose -run '^$$' -fuzz FuzzRunFunction -fuzztime 5000x
	go test ./internal/monitor -run '^$$' -fuzz FuzzParsePodinfo -fuzztime 10000x
	go test ./internal/monitor -run '^$$' -fuzz FuzzProxy -fuzztime 2000x -fuzzminimizetime 1x
	go test ./internal/monitor/tasks -run '^$$' -fuzz FuzzParse -fuzztime 10000x -fuzzminimizetime 1x
	go test ./internal/monitor/inbound -run '^$$' -fuzz FuzzTally -fuzztime 10000x -fuzzminimizetime 1x
	@for f in FuzzOpenChunk FuzzDocument FuzzSplitDocument FuzzReferences FuzzParsePosition; do go test ./internal/checkpoint -run '^$$' -fuzz "^$$f\$$" -fuzztime 10000x -fuzzminimizetime 1x || exit 1; done
	go test ./internal/checkpoint/tree -run '^$$' -fuzz FuzzDecode -fuzztime 10000x -fuzzminimizetime 1x
	@for f in FuzzEvents FuzzJSON FuzzRequest; do go test ./internal/monitor/meter -run '^$$' -fuzz "^$$f\$$" -fuzztime 10000x -fuzzminimizetime 1x || exit 1; done

kwok: ## A hundred workers that become ready one by one: does Crossplane's circuit breaker stay closed?
	@cluster/bench/breaker.sh

keda: ## Pools that a real KEDA sizes. KEDA takes some minutes to compile.
	@cluster/e2e/keda.sh

argocd: ## What AIDispatcher says to Argo CD, against Argo CD's own code, which takes some minutes to compile, and a real API server.
	@$(LOCAL) build kubernetes
	cd cluster/argocd && KUBEBUILDER_ASSETS=$(CACHE)/bin go test -tags integration -count=1 ./...

paths: ## The demo; from an empty cluster to a pool and back, by packages, claims and Argo CD; an upgrade under load; Operations.
	@cluster/e2e/paths.sh

lint: ## What golangci-lint finds, in all modules and all kinds of tests, and that the command line compiles for a Mac. .golangci.yml has the reasons.
	@$(LOCAL) build golangci-lint
	@unformatted=$$(git ls-files '*.go' | xargs gofmt -l); test -z "$$unformatted" || { echo "run gofmt -w on:" $$unformatted; exit 1; }
	go tool -modfile=cluster/tools/go.mod actionlint .github/workflows/*.yaml
	GOOS=darwin go build -o /dev/null ./cmd/aidispatch
	@for m in . $(MODULES) cluster/argocd; do echo "cd $$m && golangci-lint run"; (cd $$m && "$(CACHE)/bin/golangci-lint" run -c "$(CURDIR)/.golangci.yml" ./...); done

bench: ## The figures in docs/benchmarks.md: the function in process and over gRPC, the model proxy beside nginx, a thousand memories, checkpoints beside restic, a thousand pools beside KEDA, then on a cluster.
	go test ./internal/compose -run '^$$' -bench . -benchtime 10s
	@cluster/bench/proxy.sh
	@cluster/bench/memory.sh
	@cluster/bench/checkpoints.sh
	@cluster/bench/scaling.sh
	@cluster/bench/bench.sh

##@ Build
.PHONY: generate build images packages release install-yaml
generate: ## Write what is derived from the Go code: definitions, rules, dashboards, the table of metrics.
	go run ./cluster/generate
	go run ./cluster/observability

build: ## Compile the product's programs into _output/bin; aidispatch is there as kubectl's plugin, too.
	go build -ldflags "-s -w -X main.version=$(VERSION)" -o _output/bin/ ./cmd/...
	ln -sf aidispatch _output/bin/kubectl-aidispatch

images: ## Build the images into _output, without Docker, with what they are made of and digests.
	$(IMAGES) images build

packages: ## Build the Crossplane packages into _output, without Docker, for PLATFORMS, with what they are made of and digests.
	$(IMAGES) packages build

release: need-kubectl ## Build all files of a release into _output/release, for PLATFORMS, with what they are made of and digests.
	@cluster/images/release.sh build

install-yaml: need-kubectl ## Write what packages cannot carry to _output/install.yaml.
	@mkdir -p _output
	@kubectl kustomize cluster/install/$(FLAVOR) | sed 's|$${REGISTRY}|$(REGISTRY)|g; s|$${VERSION}|$(VERSION)|g' > _output/install.yaml
	@echo "wrote _output/install.yaml for REGISTRY=$(REGISTRY) VERSION=$(VERSION) FLAVOR=$(FLAVOR)"

##@ Install
.PHONY: push install uninstall
.PHONY: need-kubectl
need-kubectl:
	@command -v kubectl >/dev/null || { echo "kubectl is not in the PATH: install it, or run make demo, which builds one" >&2; exit 1; }

push: ## Push the images and packages to REGISTRY.
	@$(IMAGES) images push
	@$(IMAGES) packages push

install: push install-yaml ## Install into the cluster of KUBECONFIG, or of this machine where it is not set.
	@cluster/install/install.sh

uninstall: need-kubectl ## Remove what install installed, or what is left of it, once no AIDispatcher is left.
	@cluster/install/uninstall.sh

##@ With Docker
IMG ?= $(REGISTRY)/southwest-ai/provider-aidispatcher-runtime:$(VERSION)
.PHONY: docker-build docker-push deploy
docker-build: ## Build the provider's image as IMG with Docker.
	docker build -f cluster/images/provider.Dockerfile --build-arg VERSION=$(VERSION) -t $(IMG) .

docker-push: ## Push IMG.
	docker push $(IMG)

deploy: push install-yaml ## Install, with IMG as the provider's image.
	@cluster/install/install.sh --provider-image $(IMG)

.PHONY: help
help:
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
