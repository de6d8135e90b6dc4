#!/usr/bin/env bash
# make fuzz calls it: scripts/fuzz.sh TIME runs every fuzz target for TIME. A package is built once for all of its targets, where go test -fuzz builds it for each.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
go=${GO:-go}
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
corpus=$($go env GOCACHE)/fuzz
for dir in $(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do
	$go test -c -fuzz . -o "$work/test" "$dir"
	for target in $(grep -ho '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go | sed 's/^func //' | sort); do
		echo "$dir $target"
		cd "$dir"
		"$work/test" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$1" -test.fuzzcachedir "$corpus/quoll/${dir#./}" >"$work/log" 2>&1 </dev/null ||
			# The fuzzer at times takes the end of its own time for a failure.
			{ grep -q 'context deadline exceeded' "$work/log" && ! grep -q 'Failing input' "$work/log"; } ||
			{ cat "$work/log"; exit 1; }
		cd "$root"
	done
done
