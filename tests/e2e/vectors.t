#!/bin/bash
# Behaviour vectors through the command line: `openshell policy check` and `policy eval --batch`
# must answer as NVIDIA OpenShell does, or as we differ on purpose.
. "$(dirname "$0")/../support/tap.sh"

T_TIMEOUT=300
cp -r "$T_TOP/tests/vectors" "$T/tmp/vectors"
run user /usr/bin/python3 "$T/tmp/vectors/check" "$T_BIN/openshell" --dir "$T/tmp/vectors"
while IFS= read -r line; do
	case $line in
	*' cases, '*)
		case $line in
		*' 0 failed'*) pass "${line%% *}" ;;
		*) fail "$line" ;;
		esac
		;;
	*) diag "$line" ;;
	esac
done <<<"$out"
is "$status" 0 'all vectors pass'
done_testing
