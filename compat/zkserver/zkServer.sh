#!/bin/sh
# Stands in for ZooKeeper's bin/zkServer.sh where another project's test-suite starts its servers
# through it. Usage: zkServer.sh start-foreground CONFIG.
#
# COMPAT_QUOLL is the quoll binary to start; without it, COMPAT_CLASSPATH is a class path that holds
# Apache ZooKeeper, the control. SERVER_JVMFLAGS carries -D settings to both. The server replaces this
# shell, so that a kill of the process that the suite started reaches the server.
set -eu
if [ "$#" -ne 2 ] || [ "$1" != start-foreground ]; then
	echo "usage: $0 start-foreground CONFIG" >&2
	exit 2
fi
if [ -n "${COMPAT_QUOLL:-}" ]; then
	# quoll refuses to emulate the TTL nodes of release 3.5.3. go-zookeeper/zk's suite asks for that and
	# makes no such node.
	SERVER_JVMFLAGS=$(printf %s "${SERVER_JVMFLAGS:-}" | sed 's/-Dzookeeper\.emulate353TTLNodes=true//')
	export SERVER_JVMFLAGS
	exec "$COMPAT_QUOLL" server "$2"
fi
: "${COMPAT_CLASSPATH:?neither COMPAT_QUOLL nor COMPAT_CLASSPATH is set}"
# The settings are words to split.
# shellcheck disable=SC2086
exec java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 ${SERVER_JVMFLAGS:-} -cp "$COMPAT_CLASSPATH" \
	org.apache.zookeeper.server.quorum.QuorumPeerMain "$2"
