# The C client 3.8.0 of Debian, unpacked: usr/include/zookeeper, usr/lib/*/libzookeeper_mt.so.
fetch() {
	need cc gcc
	need_package libc6-dev
	(cd "$work" && {
		apt-get -qq update
		apt-get -qq download libzookeeper-mt2 libzookeeper-mt-dev
		for deb in *.deb; do dpkg -x "$deb" "$out"; done
	})
}
