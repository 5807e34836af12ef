# make run    build, and serve the sample workers
# make test   everything CI runs: lint, unit, race, end-to-end and fuzz tests
# make bench  measure beside nginx, Apache, Caddy, lighttpd and PHP-FPM
SHELL := /bin/sh
BIN := bin
# Pinned; built once into bin/ by the Go toolchain.
GOLANGCI_VERSION := v2.15.0
GOLANGCI := $(BIN)/golangci-lint-$(GOLANGCI_VERSION)
FUZZTIME ?= 8s

.PHONY: run build test check race e2e fuzz soak bench microbench lint generate clean

run: need-run build
	$(BIN)/tqserver serve

build:
	go build -o $(BIN)/tqserver ./cmd/tqserver
	go build -o workers/index/bin/index ./workers/index

test: need-test check race fuzz

.PHONY: need-run need-test need-bench
need-run:
	@.ci/need run
need-test:
	@.ci/need test
need-bench:
	@.ci/need bench

check: lint
	go vet ./...
	go mod verify

lint: $(GOLANGCI)
	$(GOLANGCI) run ./...

$(GOLANGCI):
	@echo "building golangci-lint $(GOLANGCI_VERSION) (once, about two minutes)"
	GOBIN=$(CURDIR)/$(BIN) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv $(BIN)/golangci-lint $@

race: build
	go test -race -timeout 15m ./...
	go test -timeout 5m ./sdk/sockio ./sdk/fastcgi ./modules/backend # reads and writes that -race has not

e2e: need-test build
	go test -count=1 -v ./cmd/tqserver/e2e

# Everything at once for SOAKTIME, an hour at most, with an exact account at the end.
SOAKTIME ?= 2m
soak: need-test build
	TQ_SOAK=$(SOAKTIME) go test -count=1 -v -timeout 70m -run '^TestSoak$$' ./cmd/tqserver/e2e

# go test takes one target of one package at a time. Before Go 1.27 the end of
# -fuzztime can be reported as a failure without an input (golang/go#75804).
FUZZED := ./sdk/fastcgi ./sdk/cgi ./sdk/settings ./core/conf ./core/docroot ./plugins/php
fuzz:
	@for dir in $(FUZZED); do \
		for target in $$(go test -list '^Fuzz' $$dir | grep '^Fuzz'); do \
			echo "fuzzing $$dir $$target for $(FUZZTIME)"; \
			out=$$(go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 50x $$dir 2>&1) && continue; \
			case "$$out" in \
			*"Failing input"*) echo "$$out"; exit 1 ;; \
			*"context deadline exceeded"*) ;; \
			*) echo "$$out"; exit 1 ;; \
			esac; \
		done; \
	done

# Beside the rivals, in one run; installs them. BENCH=--quick for a look.
bench: need-bench build
	go build -o $(BIN)/tqbench ./cmd/tqbench
	go build -o $(BIN)/tqbench-peer ./cmd/tqbench/peer
	$(BIN)/tqbench $(BENCH)

microbench:
	go test -run '^$$' -bench . -benchmem -count 6 ./sdk/fastcgi ./modules/backend ./modules/router ./core/docroot

# The reference pages and schemas; then, where protoc is, the wire's code.
generate:
	go generate ./cmd/tqserver
	@if command -v protoc >/dev/null; then go generate ./sdk/control ./cmd/tqbench/peer/rpc; \
	else echo "no protoc: sdk/control and cmd/tqbench/peer/rpc were left as they are"; fi

clean:
	rm -rf $(BIN) run workers/*/bin
