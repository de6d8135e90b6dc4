#!/bin/sh
# Makes the Debian package, with the paths and the user of Debian's own package zookeeper, whose place it takes.
#
#	packaging/deb/build.sh BINARY VERSION OUTPUT.deb
set -eu
here=$(cd "$(dirname "$0")" && pwd)
binary=$1 version=$2 output=$3
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 755 "$tree"
install -D -m 755 "$binary" "$tree/usr/bin/quoll"
mkdir -p "$tree/usr/share/zookeeper/bin"
for script in zkServer.sh zkServer-initialize.sh zkCli.sh zkCleanup.sh zkSnapShotToolkit.sh zkSnapshotComparer.sh zkSnapshotRecursiveSummaryToolkit.sh zkTxnLogToolkit.sh; do
	ln -s ../../../bin/quoll "$tree/usr/share/zookeeper/bin/$script"
done
# The scripts look for conf beside their directory.
ln -s ../../../etc/zookeeper/conf "$tree/usr/share/zookeeper/conf"
install -D -m 644 "$here/../systemd/quoll.service" "$tree/lib/systemd/system/quoll.service"
install -D -m 644 "$here/zoo.cfg" "$tree/etc/zookeeper/conf/zoo.cfg"
install -D -m 644 "$here/default" "$tree/etc/default/zookeeper"
install -D -m 644 "$here/../../LICENSE" "$tree/usr/share/doc/quoll/copyright"
mkdir -p "$tree/var/lib/zookeeper" "$tree/var/log/zookeeper" "$tree/DEBIAN"
sed "s/@VERSION@/$version/; s/@ARCH@/$(dpkg --print-architecture)/" "$here/control" >"$tree/DEBIAN/control"
printf '%s\n' /etc/zookeeper/conf/zoo.cfg /etc/default/zookeeper >"$tree/DEBIAN/conffiles"
for script in postinst prerm postrm; do
	install -m 755 "$here/$script" "$tree/DEBIAN/$script"
done
dpkg-deb --root-owner-group -Zxz -z1 --build "$tree" "$output"
