#!/bin/bash
# The proxy program alone, and each of its calls failing in turn whatever it carries:
# tests/support/proxy_faults_cases.py, tests/support/preload/fault.c.
# shellcheck source=tests/support/proxy_cases.sh
. "$(dirname "$0")/../support/proxy_cases.sh"

exec "${proxy_cases[@]}" --suite faults "$@"
