#!/usr/bin/env bash
# Brings the real servers and clients that the tests under compat/ talk to into a cache
# directory: $QUOLL_PEERS, or .peers at the root of the repository. Only package registries
# are asked (Maven Central, PyPI, crates.io, the Debian archive).
#
#	scripts/fetch-peers.sh            every peer
#	scripts/fetch-peers.sh kafka      only these
#
# A peer is a file scripts/peers/NAME.sh that defines one function, fetch, and may keep what it
# needs in a directory scripts/peers/NAME. fetch fills the directory $out; when it succeeds, $out
# becomes $QUOLL_PEERS/NAME. A peer is fetched again only when one of its files here has changed.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${QUOLL_PEERS:-$here/../.peers}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)

# need COMMAND PACKAGE installs the Debian package unless the command is there.
need() {
	command -v "$1" >/dev/null || need_package "$2"
}

# need_package PACKAGE... installs the Debian packages that are missing.
need_package() {
	local missing=()
	for p in "$@"; do
		dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
	done
	[ ${#missing[@]} -eq 0 ] && return
	if [ "$(id -u)" -ne 0 ]; then
		echo "fetch-peers: install ${missing[*]} and run again (not root, so it is not done here)" >&2
		return 1
	fi
	apt-get -qq update
	DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
}

# maven_jars POM DIR copies the runtime classpath of a pom into a directory.
maven_jars() {
	need javac default-jdk-headless
	need mvn maven
	mkdir -p "$2"
	# Maven writes target/ beside the pom, so it works on a copy.
	cp "$1" "$work/pom.xml"
	mvn -q -B -Dstyle.color=never -f "$work/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$2"
}

# fetch_peer NAME runs in a subshell: one peer's functions are not seen by the next.
fetch_peer() (
	name=$1
	files=$here/peers/$name
	if [ ! -f "$files.sh" ]; then
		echo "fetch-peers: no peer $name; there are: $(cd "$here/peers" && ls ./*.sh | sed 's|^\./||; s|\.sh$||' | tr '\n' ' ')" >&2
		return 1
	fi
	# The functions above are part of what makes a peer, but changing them fetches nothing again.
	parts=("$files.sh")
	[ ! -d "$files" ] || parts+=("$files")
	stamp=$(find "${parts[@]}" -type f | LC_ALL=C sort | xargs sha256sum | cut -d' ' -f1 | sha256sum | cut -d' ' -f1)
	exec 9>"$cache/.$name.lock"
	flock 9
	if [ "$(cat "$cache/$name/.stamp" 2>/dev/null)" = "$stamp" ]; then
		echo "fetch-peers: $name is there"
		return
	fi
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	out=$cache/.$name.new
	rm -rf "$out"
	mkdir -p "$out"
	. "$files.sh"
	fetch
	echo "$stamp" >"$out/.stamp"
	rm -rf "${cache:?}/$name"
	mv "$out" "$cache/$name"
	echo "fetch-peers: $name fetched"
)

if [ $# -eq 0 ]; then
	for f in "$here"/peers/*.sh; do
		set -- "$@" "$(basename "$f" .sh)"
	done
fi
for name in "$@"; do
	fetch_peer "$name"
done
