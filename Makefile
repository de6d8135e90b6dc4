# make prints this list; CI calls these targets and nothing else.
.DEFAULT_GOAL := help
GO ?= go
export CGO_ENABLED = 0
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.9.0
# Packages whose tests need nothing but Go.
OWN = $(shell $(GO) list ./... | grep -v /compat)

.PHONY: help
help: ## print the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build the binary, bin/quoll
	$(GO) build -trimpath -ldflags '-s -w' -o bin/quoll ./cmd/quoll

.PHONY: run
run: build ## build and run a server on port 2181 with its data in ./quoll-data, which answers all four-letter words
	bin/quoll server --set '4lw.commands.whitelist=*'

.PHONY: test
test: ## all tests; those that need a real ZooKeeper or client are skipped aloud without it
	$(GO) test ./...

.PHONY: race
race: ## the tests that need nothing but Go, under the race detector; not the simulations and checkers, which have one goroutine and much to do
	CGO_ENABLED=1 $(GO) test -race $(filter-out quoll/zab/% quoll/history quoll/replica/replicatest,$(OWN))

.PHONY: lint
lint: ## gofmt, vet, staticcheck
	@test -z "$$(gofmt -l .)" || { echo "gofmt -w these:"; gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) mod verify

FUZZTIME ?= 5s
.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (5s)
	GO='$(GO)' scripts/fuzz.sh $(FUZZTIME)

.PHONY: vuln
vuln: ## known vulnerabilities in what the code calls, from vuln.go.dev, the database at the URL VULNDB, or the module proxy
	GO='$(GO)' VULNDB='$(VULNDB)' scripts/vuln.sh $(GOVULNCHECK)

.PHONY: readme
readme: ## run the commands that README.md, docs/ensemble.md, docs/monitor.md and docs/operate.md show, on ports 2181 to 2184, 8080 to 8084 and 7004
	scripts/readme.sh

.PHONY: helm
helm: ## the chart of packaging/helm: lint, every value, and the manifests that are made of it (a module of its own: the first build takes minutes)
	cd packaging/helm && $(GO) vet . && $(GO) run $(STATICCHECK) . && $(GO) test .

.PHONY: image
image: ## every target of packaging/docker built by podman and run alone and as ensembles (2 minutes, root; make compat has a shorter form)
	scripts/fetch-peers.sh podman
	QUOLL_REQUIRE_PEERS=1 QUOLL_IMAGE=1 $(GO) test -count=1 -timeout 30m -run TestEngine -v ./compat/packaging

.PHONY: bench-short
bench-short: ## the comparison of `make bench` in about a minute: few rows, one round
	$(GO) run ./bench -short

BASE ?= HEAD
.PHONY: bench-compare
bench-compare: ## micro-benchmarks of the working tree against the commit BASE (HEAD), in turn, by benchstat (5 minutes; BENCH=regexp chooses, COUNT=8 rounds)
	bench/against.sh '$(BASE)' '$(BENCH)'

.PHONY: peers
peers: ## fetch the real servers and clients that compat talks to (Maven, PyPI, crates.io, Debian)
	scripts/fetch-peers.sh

.PHONY: compat
compat: ## tests against real servers and clients, all of them required (make peers fetches them)
	GO='$(GO)' scripts/compat.sh

.PHONY: crash
crash: ## 500 cycles of load, kill -9 and restart, every tenth restart by Apache ZooKeeper (15 minutes)
	QUOLL_REQUIRE_PEERS=1 QUOLL_CRASH_CYCLES=500 $(GO) test -count=1 -timeout 90m -run TestCrash -v ./compat/crash

.PHONY: oracle
oracle: ## 1,000,000 random operations on ZooKeeper and quoll, all compared, and mistakes planted in quoll that must be found (30 minutes)
	QUOLL_REQUIRE_PEERS=1 QUOLL_ORACLE_SEED=0 QUOLL_ORACLE_OPS=1000000 $(GO) test -count=1 -timeout 120m -run TestOracle -v ./compat/oracle
	QUOLL_REQUIRE_PEERS=1 QUOLL_ORACLE_MUTANTS=all $(GO) test -count=1 -timeout 60m -run TestMutants -v ./compat/oracle

.PHONY: admin
admin: ## the AdminServer and the metrics beside ZooKeeper's, in every role (1 minute; make compat has a shorter form)
	QUOLL_REQUIRE_PEERS=1 QUOLL_ADMIN=long $(GO) test -count=1 -timeout 30m -v ./compat/admin

.PHONY: history
history: ## 10,000,000 operations of 16 clients on a server that is killed again and again, every answer and event checked (10 minutes)
	QUOLL_REQUIRE_PEERS=1 QUOLL_HISTORY_OPS=10000000 $(GO) test -count=1 -timeout 60m -run TestHistory -v ./compat/history

.PHONY: ensemble
ensemble: ## mixed ensembles, rolling replacement, TLS between servers, fail-over and chaos in their long forms, with ZooKeeper 3.4 to 3.9 (3 hours, chaos needs root and /dev/net/tun; QUOLL_ENSEMBLE_SECONDS=3600 for an hour of chaos on each)
	QUOLL_REQUIRE_PEERS=1 QUOLL_ENSEMBLE=long $(GO) test -count=1 -timeout 12h -v ./compat/ensemble ./compat/quorumtls

.PHONY: sasl
sasl: ## DIGEST-MD5 and GSSAPI under all settings, byte for byte and with real clients and a KDC, on ZooKeeper and quoll (5 minutes)
	QUOLL_REQUIRE_PEERS=1 QUOLL_SASL=long $(GO) test -count=1 -timeout 30m -v ./compat/sasl

.PHONY: halfopen
halfopen: ## what a client notices of 10,000 TLS handshakes that do not end, on ZooKeeper and quoll (2 minutes)
	QUOLL_REQUIRE_PEERS=1 QUOLL_TLS=long $(GO) test -count=1 -timeout 30m -run TestHalfOpen -v ./compat/tls

.PHONY: wayback
wayback: ## 100 kills under load, Apache ZooKeeper on the directory and back, all of it compared (10 minutes)
	QUOLL_REQUIRE_PEERS=1 QUOLL_WAYBACK_INSTANTS=100 $(GO) test -count=1 -timeout 90m -run TestWayBack -v ./compat/crash

.PHONY: powercuts
powercuts: ## 10,000 losses of power, and a fault at each operation, of a disk in memory (QUOLL_SEED repeats a run)
	QUOLL_POWER_CUTS=10000 $(GO) test -count=1 -timeout 60m -run "TestPowerCuts|TestDiskFaults" -v ./server

.PHONY: faults
faults: ## the single-fault matrix, on quoll and a sample on ZooKeeper (30 minutes, root and /dev/fuse; QUOLL_FAULTS_WRITE=docs/faults.md writes the page)
	QUOLL_REQUIRE_PEERS=1 QUOLL_FAULTS=long $(GO) test -count=1 -timeout 90m -v ./compat/faults

SCHEDULES ?= 2000000
.PHONY: sim
sim: ## SCHEDULES (2,000,000, half an hour on two cores) random schedules of zab; QUOLL_SEED with -run TestSeed makes one small
	QUOLL_SCHEDULES=$(SCHEDULES) $(GO) test -count=1 -timeout 24h -run TestSimulation -v ./zab/zabtest

DISK_SCHEDULES ?= 50000
.PHONY: sim-disk
sim-disk: ## DISK_SCHEDULES (50,000, 15 minutes on two cores) random schedules of whole replicas on disks that lose power, and every planted fault of replica found
	GOGC=400 QUOLL_CORES=2 QUOLL_SCHEDULES=$(DISK_SCHEDULES) $(GO) test -count=1 -timeout 5h -run TestSimulation -v ./replica/replicatest
	$(GO) test -count=1 -timeout 5h -tags mutants -run TestMutants -v ./replica/replicatest

.PHONY: sim-mutants
sim-mutants: ## every planted fault of zab is found, and in how many schedules (20 minutes)
	$(GO) test -tags mutants -count=1 -timeout 4h -run 'TestMutants|TestMinimize' -v ./zab/zabtest

.PHONY: bench
bench: ## Apache ZooKeeper and quoll in turn, every row of the table, into docs/performance.md, .svg and .json (1.5 hours; 16 GB of memory, a quiet machine, make peers first)
	$(GO) run ./bench -o docs/performance.md

.PHONY: generate
generate: ## write generated code and pages anew
	$(GO) generate ./...
	cd packaging/helm && $(GO) test -run TestFiles . -update

# Without a tag the time of the commit comes first, so that a later one is an upgrade.
VERSION ?= $(or $(patsubst v%,%,$(shell git describe --tags 2>/dev/null)),0~$(shell git show -s --format=%cd.%h --date=format:%Y%m%d%H%M%S))
.PHONY: deb
deb: build ## build the Debian package, bin/quoll.deb (VERSION=1.2; needs dpkg-deb)
	packaging/deb/build.sh bin/quoll '$(VERSION)' bin/quoll.deb
