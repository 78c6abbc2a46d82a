# The steps of .ci/run, one by one.

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME    ?= 30s

STRESS      ?= 10m

.PHONY: help build test check fmt vet lint bench microbench fuzz stress exit-codes dist clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

build: ## build bin/segsync
	go build -o bin/ ./cmd/segsync

test: ## run the tests
	go test ./...

check: ## run everything that must pass, as .ci/run does
	bash .ci/run

fmt: ## format the code
	gofmt -w .

vet: ## look for mistakes with go vet
	go vet ./...

lint: vet ## look for more of them with staticcheck
	go run $(STATICCHECK) ./...

bench: ## measure the whole program, some twenty minutes; BENCH=-quick: two
	go run ./internal/bench $(BENCH)

microbench: ## run the Go benchmarks
	go test -run '^$$' -bench . ./...

fuzz: ## run each fuzz target for FUZZTIME (30s)
	@set -e; for package in $$(go list ./...); do \
		for target in $$(go test -run '^$$' -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			echo "=== $$package $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package; \
		done; \
	done

stress: ## run random imports with faults and crashes, and kill random processes, each for STRESS (10m)
	SEGSYNC_STRESS=$(STRESS) go test -race -run '^TestStress$$' -count 1 -timeout 0 -v -p 1 ./importer ./cmd/segsync

exit-codes: ## write the exit codes of segsync help into the files of deploy/
	bash .ci/exit-codes

dist: ## build archives, packages, lists of modules and checksums in dist/
	go run ./internal/dist

clean: ## delete what the other targets made
	rm -rf bin dist
