#!/bin/bash
# Every variant of threats.md, lines 28 to 33 (names, fronting, smuggling, paths, methods), against the proxy
# program alone, with a server that records each byte: tests/support/proxy_attacks_cases.py.
top=$(cd "$(dirname "$0")/../.." && pwd)
build=$top/build/${VARIANT:-release}
if ! [ -x "$build/support/proxy_driver" ] || ! [ -x "$build/bin/openshell-proxy" ]; then
	echo "Bail out! $build/support/proxy_driver is not built: run make all support"
	exit 1
fi
exec /usr/bin/python3 "$top/tests/support/proxy_cases.py" "$build" --suite attacks "$@"
