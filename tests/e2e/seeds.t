#!/bin/bash
# The fuzz targets with their seeds and with what was a finding once, each once: `make fuzz` goes on from there
# (docs/fuzzing.md). As an ordinary user.
. "$(dirname "$0")/../support/tap.sh"

run user "$T_TOP/tests/fuzz/seeds" "$T/work/seeds"
is "$status" 0 'seeds are made'
for program in "$T_BUILD"/replay/*; do
	target=${program##*/}
	mapfile -t inputs < <(find "$T/work/seeds/$target" "$T_TOP/tests/fuzz/corpus/$target" -type f 2>/dev/null)
	run user "$program" "${inputs[@]}"
	is "$status" "$((${#inputs[@]} ? 0 : 2))" "$target: ${#inputs[@]} inputs"
done
run user "$program" "$T/work/none"
is "$status" 1 'control: what cannot be read is no input'

done_testing
