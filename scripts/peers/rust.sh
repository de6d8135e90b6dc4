# The Rust client zookeeper-client 0.11.2 with its own test-suite: crate/ is the published crate, whose
# suite finds the stand-in for its container library in standin/; target/ is compiled. The crate names
# that library by its git repository, which a registry drops, so the line is added here.
fetch() {
	command -v cargo >/dev/null || {
		echo "fetch-peers: no cargo; that of Debian 12 is too old for the suite, 1.95 is known to be new enough" >&2
		return 1
	}
	mkdir "$work/src"
	touch "$work/src/lib.rs"
	cp "$files/Cargo.toml" "$work/"
	(cd "$work" && cargo fetch --quiet)
	cp -r "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/zookeeper-client-0.11.2 "$out/crate"
	cp -r "$here/../compat/rustsuite/testcontainers-standin" "$out/standin"
	printf '\n[dev-dependencies.testcontainers]\npath = "../standin"\n' >>"$out/crate/Cargo.toml"
	mkdir -p "$out/crate/.cargo"
	cp "$files/config.toml" "$out/crate/.cargo/"
	# So that a test compiles only what lies in this directory.
	(cd "$out/crate" && cargo test --quiet --no-run --features tls,sasl-digest-md5 --test zookeeper)
}
