#!/bin/bash
# The outcome of each limit in docs/limits.md (design invariant 9), with the proxy program alone and a clock
# that the test owns: tests/support/proxy_limits_cases.py.
top=$(cd "$(dirname "$0")/../.." && pwd)
build=$top/build/${VARIANT:-release}
if ! [ -x "$build/support/proxy_driver" ] || ! [ -x "$build/bin/openshell-proxy" ]; then
	echo "Bail out! $build/support/proxy_driver is not built: run make all support"
	exit 1
fi
exec /usr/bin/python3 "$top/tests/support/proxy_cases.py" "$build" --suite limits "$@"
