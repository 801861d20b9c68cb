#!/bin/bash
# The proxy program where destinations have several addresses, some of them dead, and where an upstream proxy
# has exceptions: tests/support/proxy_net_cases.py, in a network namespace of its own.
# shellcheck source=tests/support/proxy_cases.sh
. "$(dirname "$0")/../support/proxy_cases.sh"

if ! unshare -rn ip link add near type veth peer name far 2>/dev/null; then
	echo '1..0 # SKIP no ip(8), or no network namespace with rights over it'
	exit 0
fi
exec unshare -rn sh -c 'ip link set lo up && exec "$@"' - "${proxy_cases[@]}" --suite net "$@"
