# shellcheck shell=bash
# proxy_cases.sh - what the tests of the proxy program alone share. Sourced by them.
#
# Sets: top (the tree), build (where the programs are). proxy_cases (the command that runs the cases). Bails out when something is not built.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$top/build/${VARIANT:-release}
if ! [ -x "$build/support/proxy_driver" ] || ! [ -x "$build/bin/openshell-proxy" ]; then
	echo "Bail out! $build/support/proxy_driver is not built: run make all support"
	exit 1
fi
# Arguments select a suite (--suite NAME) and cases.
proxy_cases=(/usr/bin/python3 "$top/tests/support/proxy_cases.py" "$build")
