#!/bin/sh
# Lays out the files of the image below a directory, with the paths of the image zookeeper:3.9.5: what Dockerfile copies, and what the test runs in a chroot.
#
#	packaging/docker/rootfs.sh BINARY DIR
#
# DIR/system is what an image without anything else needs, DIR/program is quoll, and DIR/owned belongs to the user zookeeper, 1000. DIR/bitnami is what an image
# in place of Bitnami's has instead of DIR/owned, for any user of the group 0.
set -eu
binary=$1 dir=$2
home=apache-zookeeper-3.9.5-bin
mkdir -p "$dir/system/etc" "$dir/system/tmp" "$dir/program/$home/bin"
chmod 1777 "$dir/system/tmp"
printf '%s\n' root:x:0:0:root:/root:/sbin/nologin nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin zookeeper:x:1000:1000::/home/zookeeper:/sbin/nologin >"$dir/system/etc/passwd"
printf '%s\n' root:x:0: nogroup:x:65534: zookeeper:x:1000: >"$dir/system/etc/group"
cp "$binary" "$dir/program/$home/bin/quoll"
for script in zkServer.sh zkServer-initialize.sh zkCli.sh zkCleanup.sh zkSnapShotToolkit.sh zkSnapshotComparer.sh zkSnapshotRecursiveSummaryToolkit.sh zkTxnLogToolkit.sh; do
	ln -s quoll "$dir/program/$home/bin/$script"
done
ln -s "$home/bin/quoll" "$dir/program/docker-entrypoint.sh"
mkdir -p "$dir/owned/conf" "$dir/owned/data" "$dir/owned/datalog" "$dir/owned/logs"
mkdir -p "$dir/bitnami/opt/bitnami/scripts/zookeeper" "$dir/bitnami/opt/bitnami/zookeeper/conf" "$dir/bitnami/opt/bitnami/zookeeper/logs" "$dir/bitnami/bitnami/zookeeper/data"
chmod -R g+rwX "$dir/bitnami"
ln -s "../../../$home/bin" "$dir/bitnami/opt/bitnami/zookeeper/bin"
for script in entrypoint.sh run.sh; do
	ln -s "../../../../$home/bin/quoll" "$dir/bitnami/opt/bitnami/scripts/zookeeper/$script"
	ln -s "$home/bin/quoll" "$dir/bitnami/$script"
done
