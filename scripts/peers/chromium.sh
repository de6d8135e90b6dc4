# The browser of the console's test: Debian's Chromium without windows, unpacked, with the libraries that it needs beyond the C library's, and a font.
fetch() {
	(cd "$work" && {
		[ "$(id -u)" -ne 0 ] || apt-get -qq update
		apt-get -qq download fonts-dejavu-core $(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances chromium-headless-shell |
			grep -E '^(chromium-(headless-shell|common)|lib[a-z0-9.+-]*|zlib1g)$' | grep -vE '^(libc6|libc-bin|libcrypt1|libgcc-s1|lib(audit|pam|selinux|semanage|sepol|perl|apt|debconf|llvm|z3-|gl1-mesa-dri|icu-dev).*)$' | sort -u)
		for deb in *.deb; do dpkg -x "$deb" "$out"; done
		rm -rf "$out"/etc "$out"/usr/share/{doc,man,lintian,bug}
	})
	cat >"$out/chromium" <<-'RUN'
		#!/bin/sh
		# Runs the browser with the libraries and the font beside it.
		here=$(cd "$(dirname "$0")" && pwd)
		LD_LIBRARY_PATH=$(printf '%s:' "$here"/usr/lib/*-linux-gnu* "$here"/lib/*-linux-gnu* "$here"/usr/lib/*-linux-gnu*/pulseaudio) FONTCONFIG_FILE=$here/fonts.conf exec "$here/usr/lib/chromium/chromium-headless-shell" "$@"
	RUN
	chmod +x "$out/chromium"
	cat >"$out/fonts.conf" <<-'FONTS'
		<?xml version="1.0"?>
		<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
		<fontconfig><dir prefix="relative">usr/share/fonts</dir><cachedir prefix="xdg">fontconfig</cachedir></fontconfig>
	FONTS
}
