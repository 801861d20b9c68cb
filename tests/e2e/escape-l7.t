#!/bin/bash
# Every variant of threats.md, lines 28 to 33 (names, fronting, smuggling, paths, methods), against the proxy
# program alone, with a server that records each byte: tests/support/proxy_attacks_cases.py.
# shellcheck source=tests/support/proxy_cases.sh
. "$(dirname "$0")/../support/proxy_cases.sh"

exec "${proxy_cases[@]}" --suite attacks "$@"
