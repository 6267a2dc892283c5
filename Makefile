# Every target installs what it needs into .tools/ and builds into build/; both are ignored and `make clean` removes them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

TOOL       := go tool -modfile=.ci/tools/go.mod
BINARIES   := build/controlplane build/lambdapeer build/lambdalocal
GO_SOURCES  = $(shell find . -name '*.go' -not -path './.tools/*') go.mod go.sum

# compile builds one package into the target.
define compile
@mkdir -p build; echo "building $@"; CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o $@ $(1)
endef

export FRONT_PORT ADMIN_PORT ENVOY_ADMIN_PORT

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

demo: build envoy ## run everything on this machine: Envoy, control plane, a local Lambda, three functions
	@exec ./build/demo

build: $(BINARIES) build/demo build/example-go ## build the binaries into build/

envoy: ## fetch the pinned Envoy into .tools/, unless an envoy of that version is on the PATH
	@path=$$(go run ./envoy/cmd/fetch .tools) && echo "using Envoy at $$path"

runtimes: .tools/awslambdaric-4.2.2 ## fetch the pinned Lambda runtime client for Python into .tools/, for tests

.tools/awslambdaric-%:
	@echo "fetching awslambdaric $* with pip into .tools (once)"; rm -rf $@.part
	@python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-deps --target $@.part \
	  awslambdaric==$* simplejson==4.3.0 snapshot-restore-py==1.0.0 && mv $@.part $@ || test "$$(uname)" != Linux

test: envoy runtimes ## run every test: unit, property, fuzz seeds, race detector, end to end through Envoy
	@echo "== tests of all packages with the race detector; the end-to-end ones run real Envoys"
	go test -race -timeout 20m ./...

check: envoy ## formatting, vet, static analysis, and the configurations against the Envoy binary
	@echo "== gofumpt"; out=$$($(TOOL) gofumpt -l $$(git ls-files '*.go')) && test -z "$$out" || { echo "not formatted:"; echo "$$out"; exit 1; }
	@echo "== go vet"; go vet ./...
	@echo "== staticcheck"; $(TOOL) staticcheck ./...
	@echo "== controlplane check"; go run ./controlplane/cmd/controlplane check examples/demo/controlplane.yaml

format: ## format the Go code
	$(TOOL) gofumpt -w $$(git ls-files '*.go')

bench: build build/bench-app envoy ## measure against plain Envoy; results go to bench/results/
	go run ./bench

bench-bill: build envoy ## what the same requests cost with and without; results go to bench/results/
	go run ./bench/bill

fuzz: ## fuzz every decoder for 20 s each
	@for t in $$(grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -hoE '^func Fuzz[A-Za-z]+' $$t/*_test.go | cut -c6-); do \
	    echo "== $$t $$f"; go test $$t -run '^$$' -fuzz "^$$f$$" -fuzztime 20s || exit 1; done; done

clean: ## remove what was built and fetched
	rm -rf build .tools

build/demo: $(GO_SOURCES)
	$(call compile,./examples/demo)

build/example-go: $(GO_SOURCES)
	$(call compile,./examples/go)

build/bench-app: $(GO_SOURCES)
	$(call compile,./bench/app)

build/%: $(GO_SOURCES)
	$(call compile,./$*/cmd/$*)

.PHONY: help demo build envoy runtimes test check format bench bench-bill fuzz clean
.SECONDARY:
