# Every target installs what it needs into .tools/ and builds into build/; both are ignored and `make clean` removes them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

TOOL       := go tool -modfile=.ci/tools/go.mod
BINARIES   := build/lambda-dispatch build/controlplane build/lambdapeer build/lambdalocal
PREVIOUS   := $(shell cat controlplane/e2e/testdata/previous-commit)
PREVIOUS_PROGRAMS := ./lambdapeer/cmd/lambdapeer ./controlplane/cmd/controlplane ./controlplane/controlplanetest/app
PREVIOUS_CELL := $(shell cat controlplane/e2e/testdata/previous-cell-commit)
TRACES     ?= ../shared/traces
FAULT_TABLE := $(CURDIR)/build/faults.txt
# Nothing in these starts a goroutine: the race detector would find nothing, and take up to twenty times as long.
PURE        = simulate cell pool tables rollout estimate culprit
PURE_TREES  = $(PURE:%=./controlplane/internal/%/...)
RACED       = $(filter-out $(shell go list $(PURE_TREES)),$(shell go list ./... ./.ci/flaky))
LONG_PACKAGES = $(shell grep -rl --include='*_test.go' '^func TestLong' controlplane lambdalocal lambdapeer deploy/proof bench | xargs -n1 dirname | sort -u | sed 's,^,./,')
GO_SOURCES  = $(shell find . -name '*.go' -not -path './.tools/*') go.mod go.sum

# CDK is what deploy/cdk needs, by its lock file.
CDK := .tools/cdk-$(shell sha256sum deploy/cdk/package-lock.json | cut -c1-12)

# RELEASE is what version says: a tag, or the revision. Without git it is what Go knows of the build.
MODULE  := github.com/lambda-dispatch/lambda-dispatch
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)
RELEASE  = -X $(MODULE)/lambdapeer/wire.release=$(VERSION) -X main.release=$(VERSION)

# compile builds one package into the target.
define compile
@mkdir -p build; echo "building $@"; CGO_ENABLED=0 go build -ldflags '-s -w $(RELEASE)' -o $@ $(1)
endef

# suite runs tests: a name, packages, flags of go test, and the files of this run whose flaky tests are told at the end. Up
# to five that fail are tried once more when all others have ended. Tests that run in parallel mostly wait.
# What is built with the race detector would wait for a second before it exits, each of a hundred test programs and what they start.
define suite
mkdir -p build; failed=0; TEST_PARTS=required FAULT_MATRIX=$(FAULT_TABLE) GORACE="atexit_sleep_ms=20 $$GORACE" \
$(TOOL) gotestsum --format pkgname-and-test-fails --jsonfile build/$(1).json --rerun-fails=1 --rerun-fails-max-failures=5 \
  --packages="$(2)" -- -timeout 20m -parallel 4 $(3) || failed=$$?; go run ./.ci/flaky $(4); exit $$failed
endef

export FRONT_PORT ADMIN_PORT ENVOY_ADMIN_PORT LAMBDA_PORT
# What is compiled does not depend on the folder of this clone: another one finds it in Go's build cache. It has nothing for
# debuggers, which is a fifth of the compiler's work, and which no program or test here keeps. Tests build with it, too.
export GOFLAGS := $(strip -trimpath -gcflags=all=-dwarf=false $(GOFLAGS))
MAKEFLAGS += --no-builtin-rules

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-17s %s\n", $$1, $$2}'

demo: ## run everything on this machine: Envoy, control plane, a local Lambda, three functions
	@$(MAKE) --no-print-directory -j3 demo-parts
	@exec ./build/demo

# Of the build only what the demo runs. lambdapeer comes first, as it needs nothing but Go's library, which is a third of the work:
# meanwhile the modules of all others are fetched, and then Envoy.
demo-parts: demo-modules build/lambda-dispatch build/lambdapeer build/demo build/example-go demo-envoy

demo-modules:
	@test -e build/lambda-dispatch || CGO_ENABLED=0 go list -deps ./cmd/lambda-dispatch > /dev/null

demo-envoy: build/lambdapeer
	@$(MAKE) --no-print-directory envoy

# Two at once would compile much of the same.
build/example-go build/lambda-dispatch: | build/lambdapeer
build/demo: | build/lambda-dispatch

build: $(BINARIES) build/demo build/example-go ## build the binaries into build/

envoy: ## fetch the pinned Envoy into .tools/, unless an envoy of that version is on the PATH
	@path=$$(CGO_ENABLED=0 go run ./envoy/cmd/fetch .tools) && echo "using Envoy at $$path"

runtimes: .tools/awslambdaric-4.2.2 .tools/aws-lambda-java-2.10.1 ## fetch the pinned Lambda runtime clients for Python and Java into .tools/, for tests

.tools/awslambdaric-%:
	@echo "fetching awslambdaric $* with pip into .tools (once)"; rm -rf $@.part
	@PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check --no-deps --target $@.part \
	  awslambdaric==$* simplejson==4.3.0 snapshot-restore-py==1.0.0 && mv $@.part $@ || test "$$(uname)" != Linux

node-runtime: .tools/aws-lambda-ric-3.3.0 ## compile Lambda's runtime client for Node in .tools/, for tests: minutes; nothing without npm, cmake and autotools

.tools/aws-lambda-ric-%:
	@for tool in npm cmake g++ autoreconf libtoolize; do command -v $$tool >/dev/null || { echo "no $$tool here: Node's runtime client is not tested"; exit 0; }; done; \
	  echo "compiling aws-lambda-ric $* in .tools (once, some minutes)"; rm -rf $@.part; \
	  npm install --silent --no-audit --no-fund --ignore-scripts --prefix $@.part aws-lambda-ric@$* && \
	  (cd $@.part/node_modules/aws-lambda-ric && ./scripts/preinstall.sh && ./scripts/postinstall.sh) > $@.log 2>&1 && rm $@.log && mv $@.part $@ \
	  || echo "Node's runtime client cannot be compiled ($@.log), and is not tested"

control-groups: ## run the tests of limits on a user-mode Linux with control groups of version 2; skipped where Debian's package is not to be had
	@lambdalocal/conformance/control-groups .tools/user-mode-linux

extension-samples: .tools/aws-lambda-extensions-cfed93e ## fetch AWS's samples of extensions into .tools/, for tests; nothing without git's network

.tools/aws-lambda-extensions-%:
	@echo "fetching aws-samples/aws-lambda-extensions $* with git into .tools (once)"; rm -rf $@.part; \
	  GIT_TERMINAL_PROMPT=0 timeout 120 git clone -q https://github.com/aws-samples/aws-lambda-extensions $@.part && git -C $@.part checkout -q $* && mv $@.part $@ \
	  || { rm -rf $@.part; echo "AWS's samples cannot be fetched, and are not tested"; }

vendor-extensions: .tools/apm-aws-lambda-1.7.1 .tools/honeycomb-lambda-extension-12.0.0 ## build two vendors' extensions in .tools/, for tests; nothing without Go's module proxy

# vendor_extension builds a layer's extension from the module that its vendor publishes: the module, and its version.
define vendor_extension
@echo "building $(1) in .tools (once)"; rm -rf $@.part; \
  CGO_ENABLED=0 GOBIN=$(CURDIR)/$@.part/extensions go install -ldflags '-s -w' $(1)@$(2) && mv $@.part $@ || echo "$(1) cannot be built, and is not tested"
endef

.tools/apm-aws-lambda-%:
	$(call vendor_extension,github.com/elastic/apm-aws-lambda,v$*)

.tools/honeycomb-lambda-extension-12.0.0:
	$(call vendor_extension,github.com/honeycombio/honeycomb-lambda-extension,2ff85d61936d)

dynalite: .tools/dynalite-4.0.0 ## fetch the pinned emulator of DynamoDB into .tools/, for tests of the lease; nothing without npm

.tools/dynalite-%:
	@if ! command -v npm >/dev/null; then echo "no npm here: the lease in DynamoDB is not tested"; exit 0; fi; \
	  echo "fetching dynalite $* with npm into .tools (once)"; rm -rf $@.part && mkdir -p $@.part && \
	  npm install --silent --no-audit --no-fund --prefix $@.part dynalite@$* && mv $@.part $@

.tools/aws-lambda-java-%:
	@command -v mvn > /dev/null || { echo "no mvn here: Java's runtime client is not tested"; exit 0; }; \
	  echo "fetching aws-lambda-java $* with mvn into .tools (once)"; rm -rf $@.part; \
	  mvn -q -B -f lambdalocal/conformance/javafunction/pom.xml dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/$@.part && mv $@.part $@ \
	  || echo "Java's runtime client cannot be fetched, and is not tested"

previous: .tools/previous-$(PREVIOUS) .tools/previous-$(PREVIOUS_CELL) ## build what tests of version skew meet, of earlier commits, from git's history

.tools/previous-$(PREVIOUS_CELL): PREVIOUS_PROGRAMS := ./cmd/lambda-dispatch
.tools/previous-%:
	@if ! git cat-file -e $*^{commit} 2>/dev/null; then echo "no commit $* here (shallow clone?): its builds are not tested against"; exit 0; fi; \
	  echo "building $* into .tools (once)"; mkdir -p .tools; part=$$(mktemp -d $@.XXXX) && mkdir $$part/source && git archive $* | tar -x -C $$part/source && \
	  (cd $$part/source && CGO_ENABLED=0 go build -ldflags '-s -w' -o .. $(PREVIOUS_PROGRAMS)) && rm -rf $$part/source && { mv -T $$part $@ || test -d $@; }

test: envoy runtimes dynalite previous ## a developer's loop, 300 s of CPU, a few minutes on two idle cores: unit, property, race detector, end to end through Envoy
	@echo "== tests of the pure packages, without the long ones"
	@$(call suite,pure-tests,$(PURE_TREES),-skip '^TestLong',build/pure-tests.json)
	@echo "== all others with the race detector, without the long ones; the end-to-end ones run real Envoys"
	@$(call suite,tests,$(RACED),-race -skip '^TestLong',build/pure-tests.json build/tests.json)
	@echo "== alert rules and dashboard"
	@$(MAKE) --no-print-directory alerts

# Go's cache of results does not look at files of other modules, as the rules and the dashboard are for these tests.
alerts: ## hold alert rules and dashboard against the metrics that there are, and the rules against what they fire on
	cd .ci/alerts && go vet ./... && go test -count=1 ./...

EXAMPLES := .tools/examples-1

example-runtimes: $(EXAMPLES)/python $(EXAMPLES)/node ## fetch what the Python and Node examples need into .tools/, for tests; nothing without pip or npm

example-builds: $(EXAMPLES)/nextjs $(EXAMPLES)/spring $(EXAMPLES)/rust ## build the Next.js, Spring Boot and Rust examples in .tools/, for tests: some minutes

$(EXAMPLES)/python:
	@echo "fetching what the Python examples need with pip into .tools (once)"; rm -rf $@.part; mkdir -p $@.part; \
	  PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check --no-deps \
	  --target $@.part -r examples/constraints.txt && mv $@.part $@ || echo "pip cannot: the Python examples are not tested"

$(EXAMPLES)/node:
	@command -v npm >/dev/null || { echo "no npm here: the Node examples are not tested"; exit 0; }; \
	  echo "fetching what the Node examples need with npm into .tools (once)"; rm -rf $@.part; mkdir -p $@.part; \
	  npm install --silent --no-audit --no-fund --prefix $@.part express@5.3.0 ws@8.23.0 && mv $@.part $@ || echo "npm cannot: the Node examples are not tested"

# build_example builds one of examples/ in a copy of its folder: a tool that it needs, what it runs, and files that are added.
define build_example
@command -v $(1) >/dev/null || { echo "no $(1) here: $(@F) is not tested"; exit 0; }; echo "building $(@F) in .tools (once)"; \
  rm -rf $@.part; mkdir -p $@.part; cp -r $(addsuffix /.,examples/$(firstword $(subst -, ,$(@F))) $(3)) $@.part && (cd $@.part && $(2)) && mv $@.part $@ \
  || echo "$(@F) cannot be built, and is not tested"
endef

build_nextjs = npm install --silent --no-audit --no-fund && NEXT_TELEMETRY_DISABLED=1 npx next build && cp -r .next/static .next/standalone/.next/

$(EXAMPLES)/nextjs:
	$(call build_example,npm,$(build_nextjs))

# COLD_NEXTJS is the Next.js example with what bench-cold adds, by its sources.
COLD_NEXTJS := .tools/nextjs-cold-$(shell find examples/nextjs bench/cold/nextjs -type f | sort | xargs sha256sum | sha256sum | cut -c1-12)

$(COLD_NEXTJS):
	$(call build_example,npm,$(build_nextjs),bench/cold/nextjs)

$(EXAMPLES)/spring:
	$(call build_example,mvn,mvn -q -B package)

$(EXAMPLES)/rust:
	$(call build_example,cargo,cargo build --quiet --release)

test-all: test cdk-test example-runtimes node-runtime extension-samples vendor-extensions ## every test: those of make test, then the long ones
	@echo "== the long tests of the pure packages"
	@$(call suite,long-pure-tests,$(filter $(PURE:%=./controlplane/internal/%%),$(LONG_PACKAGES)),-run '^TestLong',build/long-pure-tests.json)
	@echo "== the other long tests with the race detector"
	@$(call suite,long-tests,$(filter-out $(PURE:%=./controlplane/internal/%%),$(LONG_PACKAGES)),-race -run '^TestLong',$(addprefix build/,pure-tests.json tests.json long-pure-tests.json long-tests.json))

cdk-test: build/lambda-dispatch ## test what the CDK construct of deploy/cdk synthesizes; nothing without npm
	@if ! command -v npm >/dev/null; then echo "no npm here: the CDK construct is not tested"; exit 0; fi; \
	  $(MAKE) -s --no-print-directory $(CDK)/node_modules && ln -sfn ../../$(CDK)/node_modules deploy/cdk/node_modules && \
	  echo "== the CDK construct" && cd deploy/cdk && LAMBDA_DISPATCH=$(CURDIR)/build/lambda-dispatch npm run --silent test

$(CDK)/node_modules:
	@echo "fetching what deploy/cdk needs with npm into .tools (once)"; mkdir -p $(CDK) && \
	  cp deploy/cdk/package.json deploy/cdk/package-lock.json deploy/cdk/.npmrc $(CDK)/ && cd $(CDK) && npm ci --silent --ignore-scripts

# proof builds the programs of deploy/proof for an architecture: the same one in three roles, by its name.
define proof
@rm -rf build/proof && mkdir -p build/proof && for name in function/bootstrap layer/extensions/proof witness/witness; do \
  CGO_ENABLED=0 GOOS=linux GOARCH=$(1) go build -ldflags '-s -w' -o build/proof/$$name ./deploy/proof/probe || exit 1; done
endef

aws-proof: $(CDK)/node_modules ## ask AWS what is assumed of it, in an account of yours, for less than a dollar: EMAIL=... REGION=...
	$(call proof,arm64)
	@ln -sfn ../../$(CDK)/node_modules deploy/cdk/node_modules && (cd deploy/cdk && npm run --silent compile) && \
	  go run ./deploy/proof -email "$(EMAIL)" -region "$(REGION)" -report deploy/proof/report.md

aws-proof-dry: ## rehearse aws-proof on this machine, against lambdalocal
	$(call proof,$(shell go env GOARCH))
	@go run ./deploy/proof -dry

image-files: ## build what goes into the images, for amd64 and arm64, into build/image/; deploy/Dockerfile says what follows
	@mkdir -p build/image/run && cp /etc/ssl/certs/ca-certificates.crt build/image/ && for arch in amd64 arm64; do \
	  echo "building for $$arch"; mkdir -p build/image/$$arch && CGO_ENABLED=0 GOOS=linux GOARCH=$$arch \
	  go build -ldflags '-s -w $(RELEASE)' -o build/image/$$arch/ ./cmd/lambda-dispatch ./lambdapeer/cmd/lambdapeer || exit 1; done

image-test: image-files ## build the images with buildah and start them; nothing without buildah
	go test -count=1 -v -run 'TestLong.*Image' ./deploy

layer: image-files ## make the layers with lambdapeer for functions from zip files, build/lambdapeer-layer-ARCH.zip
	@for arch in amd64 arm64; do go run ./deploy/layer build/image/$$arch/lambdapeer build/lambdapeer-layer-$$arch.zip && echo build/lambdapeer-layer-$$arch.zip || exit 1; done

histories: ## let a simulated cell live through 100,000 faulty minutes, on one core: some ten minutes; HISTORIES=... FIRST=... are how many, and the first seed
	GOMAXPROCS=1 GOGC=400 nice go test ./controlplane/internal/cell -count=1 -v -timeout 12h -run '^TestACellKeepsItsPromises$$' \
	  -cell.first $(or $(FIRST),1) -cell.histories $(or $(HISTORIES),100000)

faults: envoy ## put each fault of lambdalocal to an idle, a steady and a bursting function, and print what it did
	@mkdir -p build
	FAULT_MATRIX=$(FAULT_TABLE) go test -race -count=1 -run TestLongFaultMatrix ./controlplane/e2e
	@cat $(FAULT_TABLE)

leak: envoy ## send 100,000 requests to an app that leaks 2 MiB with each, 50,000 for each kind of peer; 15 minutes
	LEAK_REQUESTS=50000 go test -count=1 -v -timeout 1h -run 'TestLongAnAppThatLeaksLosesNoRequest$$' ./controlplane/e2e

check: envoy ## formatting, vet, static analysis, and the configurations against the Envoy binary
	@echo "== gofumpt"; out=$$($(TOOL) gofumpt -l $$(git ls-files '*.go')) && test -z "$$out" || { echo "not formatted:"; echo "$$out"; exit 1; }
	@echo "== go vet"; go vet ./... ./.ci/flaky
	@echo "== staticcheck"; $(TOOL) staticcheck ./... ./.ci/flaky
	@echo "== lambda-dispatch check"; go run ./cmd/lambda-dispatch check examples/demo/controlplane.yaml

format: ## format the Go code
	$(TOOL) gofumpt -w $$(git ls-files '*.go')

bench: build build/bench-app envoy ## measure against plain Envoy; results go to bench/results/
	go run ./bench

chaos: build build/chaos-app envoy ## strike every part while 100,000 requests run, and account for each; results go to bench/results/
	go run ./bench/chaos

chaos-leader: build build/chaos-app envoy ## strike leader, standby, relay and Envoy every second for two minutes; CHAOS="-requests 1000000 -rate 300" for an hour
	go run ./bench/chaos -leader -docs docs/reliability.md $(CHAOS)

bench-bill: build envoy ## what the same requests cost with and without, and on Managed Instances; results go to bench/results/
	go run ./bench/bill

bench-cold: build build/cold-app envoy $(COLD_NEXTJS) ## what clients of apps with an 8 s start see with and without, a Next.js build too where npm is; results go to bench/results/ and docs/cold/
	go run ./bench/cold -nextjs $(COLD_NEXTJS)

bench-replay: build envoy ## replay ten minutes of a trace, and compare with the simulator; results go to bench/results/
	go run ./bench/replay

simulate: build/lambda-dispatch ## replay workloads through the scheduler and its rivals, and remake the tables of docs/scaling-tables.md; SEEDS=...
	@mkdir -p build/simulate
	./build/lambda-dispatch simulate --seeds $(or $(SEEDS),20) --traces $(TRACES) --json build/simulate/table.json --plots build/simulate \
	  --page docs/scaling-tables.md > build/simulate/table.md
	@cat build/simulate/table.md

simulate-numbers: ## commit to new numbers of our policy: what the tests compare it with
	go test ./controlplane/internal/simulate/suite -run TestLongThePolicyDoesNotGetWorse -count=1 -update

# A dozen promises that hang on what Envoy does: SUPPORT.md.
ENVOYS      ?= $(shell sed -n 's/.*Tested() .*{ return .*Version, \(.*\)} }/\1/p' envoy/envoy.go | tr -d '",')
ENVOY_TESTS  = ARequestReachesAFunctionOverItsTunnel|ABurstMeetsAStoppedFunction|ClientsThatLeave|ConcurrencyIsNeverExceeded|AControlPlaneHandsOverToAStandby|TimeoutsOfDispatchedRequests|WhatCannotBeSentAgainIsRefused|WebSockets|TheQueueHasALimit|GRPC|Routing|Requests

envoys: envoy runtimes ## run a dozen end-to-end tests against the other versions of Envoy that SUPPORT.md names
	@mkdir -p build; go test -c -o build/e2e.test ./controlplane/e2e
	@for v in $(ENVOYS); do path=$$(CGO_ENABLED=0 go run ./envoy/cmd/fetch .tools $$v) || exit 1; echo "== Envoy $$v"; \
	  (cd controlplane/e2e && ENVOY=$$path TEST_PARTS=required ../../build/e2e.test -test.run '^Test($(ENVOY_TESTS))$$') || exit 1; done

cost: ## remake the tables of docs/cost.md with estimate and its price file
	@go test ./controlplane/cli -run 'OfThePage$$' -update

pictures: ## draw the pictures of the docs anew: of scaling, of the last run of bench-cold, and of the status page where a browser is
	@go test ./controlplane/cli ./bench/cold ./controlplane/internal/admin/page -run '^Test(Scaling|Cold|)Pictures$$' -count=1 -update

fuzz: ## fuzz every decoder for 20 s each
	@for t in $$(grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -hoE '^func Fuzz[A-Za-z]+' $$t/*_test.go | cut -c6-); do \
	    echo "== $$t $$f"; go test $$t -run '^$$' -fuzz "^$$f$$" -fuzztime 20s || exit 1; done; done

clean: ## remove what was built and fetched
	rm -rf build .tools deploy/cdk/out

build/demo: $(GO_SOURCES)
	$(call compile,./examples/demo)

build/example-go: $(GO_SOURCES)
	$(call compile,./examples/go)

build/bench-app: $(GO_SOURCES)
	$(call compile,./bench/app)

build/chaos-app: $(GO_SOURCES)
	$(call compile,./bench/chaos/app)

build/lambda-dispatch: $(GO_SOURCES)
	$(call compile,./cmd/lambda-dispatch)

build/cold-app: $(GO_SOURCES)
	$(call compile,./bench/cold/app)

build/%: $(GO_SOURCES)
	$(call compile,./$*/cmd/$*)

.PHONY: help node-runtime control-groups extension-samples vendor-extensions example-runtimes example-builds image-files image-test layer cdk-test aws-proof aws-proof-dry demo demo-parts demo-modules demo-envoy build envoy runtimes dynalite previous test test-all alerts faults leak check format bench chaos chaos-leader bench-bill bench-cold bench-replay simulate simulate-numbers histories envoys cost pictures fuzz clean
.SECONDARY:
