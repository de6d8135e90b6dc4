# A container engine on a machine of its own: root is a Debian with podman, which compat/packaging enters, and base.tar what Debian was before, as an image begins.
fetch() {
	need debootstrap debootstrap
	debootstrap --variant=minbase bookworm "$out/root" http://deb.debian.org/debian >"$work/log" 2>&1 || {
		cat "$work/log" >&2
		return 1
	}
	rm -rf "$out"/root/var/cache/apt/*.bin "$out"/root/var/cache/apt/archives/*.deb "$out"/root/var/lib/apt/lists/*
	tar -C "$out/root" --exclude=./dev -cf "$out/base.tar" .
	chroot "$out/root" sh -c 'apt-get -qq update && apt-get -qq install -y --no-install-recommends aardvark-dns iproute2 iptables make netavark podman runc && apt-get clean' >"$work/log" 2>&1 || {
		cat "$work/log" >&2
		return 1
	}
	rm -rf "$out"/root/var/lib/apt/lists/*
}
