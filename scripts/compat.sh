#!/usr/bin/env bash
# make compat calls it. Most tests wait for real servers most of the time, so two packages run at a time; those that measure, or play with time and disks, have the machine for
# themselves. Real servers keep time of their own and share this machine, so up to three packages that fail are tried once more, aloud; what fails twice has failed.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export QUOLL_REQUIRE_PEERS=1
go=${GO:-go}
alone='/(crash|ensemble|faults|history|hostile|tls)$'
log=$(mktemp)
trap 'rm -f "$log"' EXIT
packages=$($go list ./compat/...) || exit 1
# run PARALLEL PACKAGE...
run() { $go test -timeout 30m -p "$@" 2>&1 | tee -a "$log"; }
passed=true
run 2 $(grep -vE "$alone" <<<"$packages") || passed=false
run 1 $(grep -E "$alone" <<<"$packages") || passed=false
$passed && exit 0
mapfile -t failed < <(awk '$1 == "FAIL" && $2 ~ /^quoll\/compat/ { print $2 }' "$log")
if [ ${#failed[@]} -eq 0 ] || [ ${#failed[@]} -gt 3 ]; then
	exit 1
fi
printf '\nFAILED ONCE, tried again: %s\n' "${failed[*]}"
$go test -count=1 -timeout 30m -p 1 "${failed[@]}"
