#!/usr/bin/env bash
# Compares the micro-benchmarks of the working tree with those of a commit, times and allocations, by benchstat. The two take turns, so that what else
# the machine does strikes both; a benchmark that only one of them has stands alone.
#
#   bench/against.sh COMMIT [REGEXP]     COUNT (8) rounds of TIME (100ms) for each benchmark whose name matches; PACKAGES says where
set -euo pipefail
commit=${1:?usage: bench/against.sh COMMIT [REGEXP]}
pattern=${2:-.}
packages=${PACKAGES:-jute tree server txnlog zab zab/wire metrics}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir "$work/base"
git archive "$commit" | tar -x -C "$work/base"

# build TREE NAME compiles the tests of each package. They run where their package is, which has their data.
build() {
	for package in $packages; do
		if ls "$1/$package"/*_test.go >/dev/null 2>&1; then
			(cd "$1" && go test -c -o "$work/$2.${package//\//.}" "./$package")
		fi
	done
}
build "$work/base" old
build "$PWD" new

# measure TREE NAME PACKAGE adds what benchstat reads of one round to the file of that name.
measure() {
	local test="$work/$2.${3//\//.}"
	[ -x "$test" ] || return 0
	if ! (cd "$1/$3" && "$test" -test.run '^$' -test.bench "$pattern" -test.benchtime "${TIME:-100ms}" -test.benchmem) >"$work/out" 2>"$work/said"; then
		cat "$work/out" "$work/said" >&2
		exit 1
	fi
	grep -E '^(Benchmark|goos|goarch|pkg|cpu)' "$work/out" >>"$work/$2" || true
}
for round in $(seq "${COUNT:-8}"); do
	for package in $packages; do
		measure "$work/base" old "$package"
		measure "$PWD" new "$package"
	done
	echo "round $round of ${COUNT:-8}, $SECONDS s" >&2
done
cd "$work" # where the files are named as the columns should be
go run golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da old new
