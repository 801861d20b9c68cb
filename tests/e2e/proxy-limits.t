#!/bin/bash
# The outcome of each limit in docs/limits.md (design invariant 9), with the proxy program alone and a clock
# that the test owns: tests/support/proxy_limits_cases.py.
# shellcheck source=tests/support/proxy_cases.sh
. "$(dirname "$0")/../support/proxy_cases.sh"

exec "${proxy_cases[@]}" --suite limits "$@"
