#!/bin/bash
# The proxy program alone: tests/support/proxy_driver plays the supervisor, the cases are in
# tests/support/proxy_cases.py, with scripted clients and servers on both sides.
top=$(cd "$(dirname "$0")/../.." && pwd)
build=$top/build/${VARIANT:-release}
if ! [ -x "$build/support/proxy_driver" ] || ! [ -x "$build/bin/openshell-proxy" ]; then
	echo "Bail out! $build/support/proxy_driver is not built: run make all support"
	exit 1
fi
exec /usr/bin/python3 "$top/tests/support/proxy_cases.py" "$build" "$@"
