#!/usr/bin/env bash
# Runs the commands of README.md, docs/operate.md, docs/ensemble.md and docs/monitor.md as a newcomer would, on port 2181 with the data in a temporary directory's ./quoll-data. It takes the
# commands out of the page, so the page cannot promise what does not work.
set -euo pipefail
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$work"' EXIT

make -C "$repo" build
cp -r "$repo/bin" "$work/bin"
cd "$work"

# serving PORT waits until a server answers the word srvr.
serving() {
	for _ in $(seq 100); do
		if answer=$( (exec 3<>"/dev/tcp/127.0.0.1/$1" && printf srvr >&3 && cat <&3) 2>/dev/null) && grep -q '^Mode: standalone' <<<"$answer"; then
			return
		fi
		sleep 0.1
	done
	echo "readme: nobody serves port $1" >&2
	return 1
}

run=$(sed -n 's/^\t\(bin\/quoll server.*\)/exec \1/p' "$repo/Makefile") # what `make run` runs
eval "$run" &
server=$!
serving 2181
test "$( (exec 3<>/dev/tcp/127.0.0.1/2181 && printf ruok >&3 && cat <&3) )" = imok
grep -o '^bin/quoll cli .*' "$repo/README.md" | while read -r command; do
	echo "+ $command"
	$command
done | tee out
grep -qx world out
bin/quoll status | grep -qx 'Mode: standalone'
grep -oE 'bin/quoll (backup|log|snapshot) [^`]*-data[^`]*' "$repo/README.md" | while read -r command; do
	echo "+ $command"
	$command
done
kill "$server"
wait "$server"

# shell PAGE prints what the page has in its blocks of shell, but for those that say why they are not run.
shell() { awk '/^```sh$/ { code = 1; next } /^```/ { code = 0 } code' "$repo/docs/$1"; }

echo "+ docs/operate.md"
shell operate.md >operate.sh
. ./operate.sh >out # without a subshell: the servers are jobs of this one
cat out
grep -qx 'Mode: standalone' out
test "$(grep -cx survivor out)" = 2
# shellcheck disable=SC2046
kill $(jobs -p)
wait

shell ensemble.md >ensemble.sh
echo "+ docs/ensemble.md"
. ./ensemble.sh >out # without a pipe: the servers are jobs of this shell
cat out
grep -qx ensemble out
# shellcheck disable=SC2046
kill $(jobs -p)
wait

shell monitor.md >monitor.sh
echo "+ docs/monitor.md"
. ./monitor.sh >out
grep -qx 'zk_znode_count	6.0' out # mntr, with /app
grep -q '"error" : null' out
grep -qx 'znode_count 6' out
grep -qx x out # /app after the restore
# shellcheck disable=SC2046
kill $(jobs -p)
wait

command=$(grep -o 'bin/quoll server --client-port[^`]*' "$repo/README.md")
command=${command//\/var\/lib/$work}
echo "+ $command"
$command &
serving 2182
kill $!
wait $!
echo "readme: every command works"
