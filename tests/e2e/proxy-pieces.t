#!/bin/bash
# The proxy program alone, what it carries in pieces and cut at every byte:
# tests/support/proxy_pieces_cases.py.
# shellcheck source=tests/support/proxy_cases.sh
. "$(dirname "$0")/../support/proxy_cases.sh"

exec "${proxy_cases[@]}" --suite pieces "$@"
