#!/usr/bin/env bash
# make vuln calls it with the version of govulncheck. Where vuln.go.dev cannot be reached the database comes through the module proxy: what vuln.go.dev serves
# is made of the module golang.org/x/vulndb, and here so is its like. VULNDB, a URL, names another one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
go=${GO:-go}
here=$($go env GOVERSION)
export GOTOOLCHAIN=auto # the toolchain of go.mod, with which the binary is to be built, whatever this machine has
db=${VULNDB:-}
if [ -z "$db" ] && curl -sf -m 10 -o /dev/null https://vuln.go.dev/index/db.json; then
	db=https://vuln.go.dev
elif [ -z "$db" ]; then
	version=$($go list -m -f '{{.Version}}' golang.org/x/vulndb@latest)
	dir=$($go mod download -json "golang.org/x/vulndb@$version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
	made=$(mktemp -d)
	trap 'rm -rf "$made"' EXIT
	$go run "golang.org/x/vulndb/cmd/indexdb@$version" -vulns "$dir/data/osv" -out "$made"
	db=file://$made
	echo "vuln.go.dev cannot be reached from here; the database is that of golang.org/x/vulndb $version"
fi
$go run "$1" -db "$db" ./...
if [ "$here" != "$($go env GOVERSION)" ]; then
	echo "NOTE: this is what $($go env GOVERSION) builds, which go.mod asks for. Without GOTOOLCHAIN=auto this machine builds with $here, whose standard library may have known holes."
fi
