# Versions of what is built with `go install`. golangci-lint and kube-api-linter are pinned by hack/lint/go.mod, the control
# plane by go.mod's k8s.io/api, the reference CNI plugins by go.mod.
CONTROLLER_GEN_VERSION := v0.23.0
ACTIONLINT_VERSION := v1.7.12
GOVULNCHECK_VERSION := v1.9.0

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export HOME := $(or $(HOME),$(shell getent passwd "$$(id -u)" | cut -d: -f6))
CACHE := $(shell . hack/cache.sh && echo "$$MACPOOL_CACHE")
GO_VERSION := $(shell go env GOVERSION)
LINT_SUM := $(shell sha256sum hack/lint/go.sum | cut -c1-12)

CONTROLLER_GEN := $(CACHE)/controller-gen-$(CONTROLLER_GEN_VERSION)-$(GO_VERSION)/controller-gen
ACTIONLINT := $(CACHE)/actionlint-$(ACTIONLINT_VERSION)-$(GO_VERSION)/actionlint
GOVULNCHECK := $(CACHE)/govulncheck-$(GOVULNCHECK_VERSION)-$(GO_VERSION)/govulncheck
GOLANGCI_LINT := $(CACHE)/golangci-lint-$(LINT_SUM)-$(GO_VERSION)/golangci-lint

# One cache of findings for each tree: golangci-lint reports those of another checkout by that one's paths, which no
# exclusion matches.
export GOLANGCI_LINT_CACHE := $(CACHE)/findings-$(shell pwd | sha256sum | cut -c1-12)

BINARIES := manager agent macpool installer kubectl-macpool

# What tests need: a real API server and the reference CNI plugins. What e2e and the demo need besides: our binaries.
test_env = KUBEBUILDER_ASSETS="$$(hack/controlplane.sh)" && MACPOOL_CNI_BIN="$$(hack/cniplugins.sh)" && export KUBEBUILDER_ASSETS MACPOOL_CNI_BIN
# An API server that starts beside other tests needs more than envtest's 20 s.
export KUBEBUILDER_CONTROLPLANE_START_TIMEOUT := 2m
export MACPOOL_BIN := $(CURDIR)/bin

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^##@/ {print "\n" substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  %-13s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

##@ See it, use it

.PHONY: demo
demo: build ## Show the whole story on this machine, with a real API server and real interfaces; KEEP=1 leaves it running
	@$(test_env) && CGO_ENABLED=0 go build -trimpath -o bin/demo ./e2e/demo && exec bin/demo

.PHONY: record
record: build ## Run the demo, and draw what it prints into docs/images/demo.svg
	@$(test_env) && CGO_ENABLED=0 go build -trimpath -o bin/demo ./e2e/demo && go run ./hack/record docs/images/demo.svg bin/demo

.PHONY: cluster-up
cluster-up: ## Start a cluster on this machine, of real kubelets, containerd and Multus, with macpool in it (needs root)
	@MULTUS=$(MULTUS) hack/cluster/up.sh

.PHONY: cluster-down
cluster-down: ## End that cluster, and remove what it has left
	@hack/cluster/down.sh

.PHONY: build
build: ## Build bin/manager, bin/agent, bin/macpool and bin/installer
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o bin/ $(addprefix ./cmd/,$(BINARIES))

.PHONY: images
images: ## Build the images for this machine into dist/images, as archives that a container runtime loads
	@hack/images.sh docker dist/images $(shell go env GOARCH)

.PHONY: dist
dist: ## Make everything that a release consists of, in dist
	@hack/release.sh build dist

.PHONY: dist-check
dist-check: ## Check the release in dist, as anybody would: KEY=file is the public key, if it was signed with one
	@hack/release.sh check dist $(KEY)

.PHONY: dist-verify
dist-verify: ## Make a release of the last commit twice, and compare; compiles everything anew
	@hack/release.sh verify

##@ Check it

# Three packages at a time, however few cores there are: most of the time the tests wait. More API servers on two cores keep each other waiting too.
.PHONY: test
test: need-root ## Run all tests but e2e, with the race detector (needs root and a C compiler)
	@$(test_env) && MACPOOL_HELM_BIN="$$(hack/helm.sh)" && MACPOOL_AXE="$$(hack/axe.sh)" && export MACPOOL_HELM_BIN MACPOOL_AXE && set -x && go test -race -p 3 -timeout 20m ./...
	CGO_ENABLED=0 go test -C hack/release ./...
	CGO_ENABLED=0 go test -trimpath ./internal/model ./internal/allocator
	CGO_ENABLED=0 go test -trimpath -run TestLarge ./internal/cli/ui

.PHONY: e2e
e2e: build ## Run the tests that start several processes (needs root or user namespaces, and a C compiler)
	@$(test_env) && set -x && go test -tags e2e -race -timeout 30m ./e2e/...

.PHONY: e2e-vlan
e2e-vlan: need-root build ## Run the tests on real VLAN links: in namespaces where the kernel has 802.1Q, else in User-mode Linux (needs root)
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o bin/vlan-guest ./e2e/vlan/guest
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o bin/umlinit ./e2e/lab/umlinit
	@$(test_env) && set -x && CGO_ENABLED=0 go test -trimpath -tags vlan -count=1 -v -timeout 10m ./e2e/vlan

# Built as Kubernetes is, so that both share what is compiled.
.PHONY: e2e-cluster
e2e-cluster: ## Run the tests on that cluster, with thin Multus; MULTUS=thick runs them with the other, SHORT=1 leaves repetitions out (needs root)
	set -x && MULTUS=$(or $(MULTUS),thin) CGO_ENABLED=0 go test -trimpath -tags cluster $(if $(SHORT),-short) -count=1 -v -timeout 30m ./e2e/cluster

.PHONY: e2e-all
e2e-all: e2e e2e-vlan ## Run all tests that start several processes, those of the cluster with Multus thin and thick
	$(MAKE) e2e-cluster MULTUS=thin
	$(MAKE) e2e-cluster MULTUS=thick

.PHONY: chaos
chaos: need-root build ## Break everything that the fault matrix names, and print the table; SEED=n does the same again
	@hack/chaos.sh chaos

.PHONY: soak
soak: need-root build ## The same for hours: DURATION=2h SEED=n; parts of it add up in REPORT=dir, and PARTS names some of its harnesses
	@hack/chaos.sh soak

.PHONY: fuzz
fuzz: ## Run all fuzz targets, FUZZTIME=5m each, and print a table; FUZZ=regexp chooses some
	@hack/fuzz.sh

# What is said on the command line of make goes to the program as it is.
bench_flags = $(if $(ONLY),-only=$(ONLY)) $(if $(ROUNDS),-rounds=$(ROUNDS)) -out=$(or $(OUT),dist/bench) $(if $(PEER),-peer=$(PEER)) $(if $(PEER_CONF),-peer-conf=$(PEER_CONF)) $(if $(PEER_MANIFESTS),-peer-manifests=$(PEER_MANIFESTS))

.PHONY: bench
bench: need-root build ## Measure macpool beside what people run, and write dist/bench/report.md; ONLY=exec,add ROUNDS=5 OUT=dir; PEER=plugin PEER_CONF=file adds another IPAM: docs/benchmarks.md
	@$(test_env) && CGO_ENABLED=0 go build -trimpath -o bin/bench ./hack/bench && exec bin/bench $(bench_flags)

.PHONY: microbench
microbench: need-root ## Run the benchmarks of single functions, by go test
	@$(test_env) && set -x && go test -run '^$$' -bench . -benchmem -timeout 30m $$(git grep -lE --untracked '^func Benchmark' -- '*_test.go' | xargs -n 1 dirname | sort -u | sed 's#^#./#')

.PHONY: lint
lint: $(GOLANGCI_LINT) $(ACTIONLINT) ## Run the linters
	$(ACTIONLINT) -shellcheck= -pyflakes=
	$(GOLANGCI_LINT) config verify
	$(GOLANGCI_LINT) run ./...

.PHONY: vulncheck
vulncheck: $(GOVULNCHECK) ## Look for known vulnerabilities in what our programs call; GOVULNDB names another database than Go's own
	$(GOVULNCHECK) $(if $(GOVULNDB),-db $(GOVULNDB)) ./cmd/...
	$(GOVULNCHECK) $(if $(GOVULNDB),-db $(GOVULNDB)) -C hack/release .

.PHONY: verify
verify: ## Generate, tidy and lint; fail if that changes the tree
	@hack/verify.sh

##@ Change it

.PHONY: generate
generate: $(CONTROLLER_GEN) ## Write the deep copies of the API types
	$(CONTROLLER_GEN) object:headerFile=hack/boilerplate.go.txt paths=./api/...

.PHONY: manifests
manifests: $(CONTROLLER_GEN) ## Write the CRDs, the manager's role, docs/api.md, docs/errors.md, docs/metrics.md, docs/requirements.md, schemas for editors, and what the chart shares with config
	$(CONTROLLER_GEN) crd paths=./api/... output:crd:artifacts:config=config/crd/bases
	$(CONTROLLER_GEN) rbac:roleName=macpool-manager paths=./controllers/... paths=./internal/guard/... output:rbac:artifacts:config=config/rbac
	go run ./hack/apidocs .
	go run ./hack/errordocs docs/errors.md
	go run ./hack/metricdocs docs/metrics.md
	go run ./hack/requirements docs/requirements.md
	kubectl="$$(hack/controlplane.sh)/kubectl"; { $$kubectl kustomize config/default; echo ---; $$kubectl kustomize config/prometheus; } | go run ./hack/chart -version "$$(cat VERSION)" config/default/kustomization.yaml config/cleanup/kustomization.yaml

.PHONY: dependencies
dependencies: ## Weigh what each module adds to each program, and write it into docs/dependencies.md
	go run ./hack/weights docs/dependencies.md

.PHONY: fmt
fmt: $(GOLANGCI_LINT) ## Format the Go files
	$(GOLANGCI_LINT) fmt ./...

.PHONY: controlplane
controlplane: ## Get etcd, kube-apiserver and kubectl, and print where they are
	@hack/controlplane.sh

.PHONY: tools
tools: $(CONTROLLER_GEN) $(GOLANGCI_LINT) $(ACTIONLINT) controlplane ## Get everything that the other targets use
	@hack/cniplugins.sh
	@hack/helm.sh
	@hack/axe.sh

.PHONY: clean
clean: ## Remove what was built in the tree; the cache outside of it stays
	rm -rf bin dist

.PHONY: need-root
need-root:
	@[ "$$(id -u)" = 0 ] || { echo "make $(firstword $(MAKECMDGOALS)) needs root, because the tests of the plugin and the agent make network namespaces: run it as root." >&2; exit 1; }

# A tool is built beside its place and renamed into it, so that a build that is cut off leaves none.
$(CONTROLLER_GEN): package = sigs.k8s.io/controller-tools/cmd/controller-gen@$(CONTROLLER_GEN_VERSION)
$(ACTIONLINT): package = github.com/rhysd/actionlint/cmd/actionlint@$(ACTIONLINT_VERSION)
$(GOVULNCHECK): package = golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)
$(CONTROLLER_GEN) $(ACTIONLINT) $(GOVULNCHECK):
	@mkdir -p $(@D)/new
	CGO_ENABLED=0 GOBIN=$(@D)/new go install $(package)
	@mv $(@D)/new/$(@F) $@ && rmdir $(@D)/new

$(GOLANGCI_LINT):
	@mkdir -p $(@D)/new
	cd hack/lint && CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w" -o $(@D)/new/ tool
	@mv $(@D)/new/golangci-lint-kube-api-linter $@ && rmdir $(@D)/new
