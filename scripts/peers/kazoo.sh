# The Python client kazoo 2.11.0, and pure-sasl, which it needs for SASL: lib/ goes into PYTHONPATH.
fetch() {
	need python3 python3
	python3 -m pip --version >/dev/null 2>&1 || need_package python3-pip
	python3 -m pip install --quiet --root-user-action ignore --disable-pip-version-check --no-deps --target "$out/lib" kazoo==2.11.0 pure-sasl==0.6.2
}
