#!/bin/bash
# Every example runs: its demo.sh, unchanged, against the stand-in.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
start_origin
for example in "$T_EXAMPLES"/*/; do
	name=$(basename "$example")
	for policy in "$example"*.yaml; do
		[ -e "$policy" ] || continue
		run openshell policy check "$policy"
		is "$status" 0 "$name/$(basename "$policy") is valid"
	done
	[ -e "$example/demo.sh" ] || continue
	T_TIMEOUT=60 run user "$example/demo.sh"
	is "$status" 0 "$name/demo.sh"
	is "$(leftovers)" '' "$name: nothing is left"
done
done_testing
