# A broken pipe, an unset variable or a half-written file stops make.
SHELL         := bash
.SHELLFLAGS   := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS     += --warn-undefined-variables --no-builtin-rules

PKG      ?= ./...
ARGS     ?=
URL      ?=
FUZZTIME ?= 30s
GOARCH   ?= $(shell go env GOARCH)
BIN      ?= bin
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo development)

# Programs are static and the same wherever they are built; the version comes
# from us, not from what go finds in the repository.
GOBUILD  := CGO_ENABLED=0 GOARCH=$(GOARCH) go build -trimpath -buildvcs=false
AGENTS   := sandbox/agent/embedded
TOOL     := go tool -modfile=tools/go.mod
LINT     := $(TOOL) golangci-lint run

.PHONY: help
help: ## Say what there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-11s %s\n", $$1, $$2}'

.PHONY: agent
agent: ## Build a sandbox's programs into the folder that the daemon embeds
	find $(AGENTS) -name 'sandwarden-*-linux-*' ! -name '*-$(GOARCH)' -delete
	for name in agent init; do GOOS=linux $(GOBUILD) -ldflags '-s -w' -o $(AGENTS)/sandwarden-$$name-linux-$(GOARCH) ./cmd/sandwarden-$$name; done

.PHONY: build
build: agent ## Build bin/sandwarden, with its agent inside
	$(GOBUILD) -ldflags '-s -w -X main.version=$(VERSION)' -o $(BIN)/sandwarden ./cmd/sandwarden

.PHONY: cross
cross: ## Build for linux/amd64 and linux/arm64; leaves no agent of them behind
	for arch in amd64 arm64; do GOOS=linux $(MAKE) --no-print-directory build GOARCH=$$arch BIN=bin/linux-$$arch; done
	rm -f $(AGENTS)/sandwarden-*-linux-*

.PHONY: run
run: build ## Build and start the daemon; ARGS='--port 8080' are its flags
	.ci/provide --advise python3 node
	if [ "$$(id -u)" != 0 ]; then export SANDWARDEN_ALLOW_UNENFORCED_LIMITS="$${SANDWARDEN_ALLOW_UNENFORCED_LIMITS:-1}"; fi; \
	exec $(BIN)/sandwarden serve --msb-listen auto $(ARGS)

# The places are those of deploy/install.sh: PREFIX, DESTDIR, SYSCONFDIR, LOGDIR.
.PHONY: install
install: build ## Install the program and its service below PREFIX (default /usr/local)
	deploy/install.sh install

.PHONY: uninstall
uninstall: ## Take away all that install made; KEEP_STATE=1 leaves state and settings
	deploy/install.sh uninstall

.PHONY: image
image: ## Build the Docker image mcp-server
	docker build -f deploy/docker/Dockerfile --build-arg VERSION=$(VERSION) -t mcp-server .

.PHONY: release
release: cross ## Make dist/: an archive for each architecture, and their sums
	.ci/release $(VERSION)

# Tests that race detection makes pointless, or long without a use: they measure, or move many
# bytes as text between daemons whose packages have race detection in their own tests.
PLAIN    := ^Test(Suite$$|Plain_|Chain_|Bench_)
PLAINPKG := ./cmd/sandwarden ./sandbox/microsandbox

# One package at a time: they count what is left on the host. A program with race detection would
# wait for a second before it ends.
.PHONY: test
test: export GORACE := atexit_sleep_ms=0
test: agent ## Install what tests need and run them: race, shuffled, not cached
	.ci/provide python3 node npm curl gcc
	CGO_ENABLED=1 go test -race -shuffle=on -count=1 -p 1 -timeout=25m -skip '$(PLAIN)' $(PKG)
	go test -shuffle=on -count=1 -p 1 -timeout=25m -run '$(PLAIN)' $(if $(filter ./...,$(PKG)),$(PLAINPKG),$(PKG))

.PHONY: lint
lint: ## Look for what the compiler lets through
	$(LINT) $(PKG)
	GOOS=darwin go vet $(PKG)
	GOARCH=arm64 go vet $(PKG)

.PHONY: lint-deploy
lint-deploy: ## Look over what is shipped for deployment
	.ci/provide shellcheck yamllint systemd-analyze logrotate node npm
	.ci/lint-deploy

.PHONY: tidy
tidy: ## Check that go.mod says what is used
	go mod tidy -diff

.PHONY: check
check: tidy cross build lint lint-deploy test ## All that must pass before a change is in

.PHONY: bench
bench: build ## Measure a daemon through HTTP: the one at URL=…, or one started for it
	.ci/provide python3 node
	.ci/provide --advise bwrap runc
	$(BIN)/sandwarden bench all $(if $(URL),--url '$(URL)') $(ARGS) | tee bench.out

.PHONY: fuzz
fuzz: ## Fuzz each target for FUZZTIME (default 30s)
	@grep -roE '^func Fuzz\w+' --include='*_test.go' . | while IFS=: read -r file func; do \
	  go test -run='^$$' -fuzz="^$${func#func }\$$" -fuzztime=$(FUZZTIME) "./$$(dirname "$$file")"; done

.PHONY: fmt
fmt: ## Format, and fix what can be fixed by itself
	$(LINT) --fix $(PKG)

.PHONY: golden
golden: ## Rewrite expected outputs and the picture; read the diff
	go test -count=1 $$(grep -rlE --include='*_test.go' 'flag\.Bool\("update"' . | xargs -n1 dirname | sort -u) -update

.PHONY: size
size: ## Show what is larger than the house likes; fails nothing
	-$(LINT) --issues-exit-code=0 --enable-only cyclop,funlen,nestif,interfacebloat $(PKG)
	@find . -name '*.go' -size +16k -exec wc -l {} + | awk '$$1 > 500 && $$2 != "total"'

.PHONY: vuln
vuln: ## Look for known faults in what we use; needs its database
	$(TOOL) govulncheck $(PKG)

.PHONY: proto
proto: ## Generate the agent's protocol from wire.proto; needs protoc
	protoc --go_out=. --go_opt=module=$$(go list -m) --go-ttrpc_out=. --go-ttrpc_opt=module=$$(go list -m) \
	  --plugin=protoc-gen-go="$$($(TOOL) -n protoc-gen-go)" --plugin=protoc-gen-go-ttrpc="$$($(TOOL) -n protoc-gen-go-ttrpc)" \
	  sandbox/agent/wire/wire.proto
