#!/bin/bash
# The proxy program alone: tests/support/proxy_driver plays the supervisor, the cases are in
# tests/support/proxy_cases.py, with scripted clients and servers on both sides.
# shellcheck source=tests/support/proxy_cases.sh
. "$(dirname "$0")/../support/proxy_cases.sh"

exec "${proxy_cases[@]}" "$@"
