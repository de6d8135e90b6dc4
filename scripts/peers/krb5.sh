# The KDC of MIT Kerberos as Debian has it, unpacked: usr/sbin/krb5kdc, kadmin.local and kdb5_util, usr/bin/kinit and kvno, and the libraries that they need.
fetch() {
	(cd "$work" && {
		apt-get -qq update
		apt-get -qq download $(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances krb5-kdc krb5-admin-server krb5-user |
			grep -E '^(krb5-(kdc|admin-server|user)|lib(krb5|k5crypto|krb5support|gssapi-krb5|gssrpc|kadm5|kdb5|verto|ev|event|com-err|ss|keyutils).*)$' | sort -u)
		for deb in *.deb; do dpkg -x "$deb" "$out"; done
	})
}
