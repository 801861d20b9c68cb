#!/bin/bash
# The proxy program where destinations have several addresses, some of them dead, and where an upstream proxy
# has exceptions: tests/support/proxy_net_cases.py, in a network namespace of its own.
top=$(cd "$(dirname "$0")/../.." && pwd)
build=$top/build/${VARIANT:-release}
if ! [ -x "$build/support/proxy_driver" ] || ! [ -x "$build/bin/openshell-proxy" ]; then
	echo "Bail out! $build/support/proxy_driver is not built: run make all support"
	exit 1
fi
if ! unshare -rn ip link add near type veth peer name far 2>/dev/null; then
	echo '1..0 # SKIP no ip(8), or no network namespace with rights over it'
	exit 0
fi
exec unshare -rn sh -c 'ip link set lo up && exec "$@"' - /usr/bin/python3 "$top/tests/support/proxy_cases.py" "$build" --suite net "$@"
