#!/bin/bash
# At the edges: limits where there is a cgroup and where there is none, many sandboxes at once, a
# full disk, a read-only state directory, a runtime directory that is gone.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
cd "$T/work" || exit 1

# --cpu and --memory hold or are refused.
for bad in '--cpu 0' '--cpu x' '--cpu 1.2345' '--memory 12Q' '--memory -1'; do
	read -ra flags <<<"$bad"
	run openshell sandbox create "${flags[@]}" --no-auto-providers -- true
	is "$status" 2 "$bad is wrong usage"
done
run openshell sandbox create --name limited --keep --cpu 500m --memory 64Mi --no-auto-providers -- cat /proc/self/cgroup
if [ "$status" = 0 ]; then
	like "$out" openshell-limited 'with a delegated cgroup the sandbox has its own'
	run inside limited 'head -c 200000000 /dev/zero | tail -c 190000000 | wc -c'
	not_ok 'more memory than that cannot be had' test "$out" = 190000000
	openshell sandbox delete limited
else
	is "$status" 125 'without a delegated cgroup nothing is started'
	like "$err" '^openshell: .*delegated' 'and it says why'
	like "$err" '^hint: .*systemd-run --user' 'and what to do'
	run openshell sandbox list -o json
	is "$(jq length <<<"$out")" 0 'nothing of it is left'
fi

# Many at once, all in the same directory.
many=${OPENSHELL_TEST_MANY:-40}
for i in $(seq "$many"); do
	openshell sandbox create --name "many-$i" --detach --no-auto-providers -- sleep 1000 >/dev/null 2>>"$T/tmp/many.err" || break
done
run openshell sandbox list -o json
is "$(jq '[.[] | select(.phase == "Ready")] | length' <<<"$out")" "$many" "$many sandboxes run"
run inside "many-$many" 'echo alive'
is "$out" alive 'the last one answers'
if [ "$(id -u)" = 0 ]; then
	pss=0
	for pid in $("$T_SUPPORT/subreap" --list "$PPID"); do
		case $(cat "/proc/$pid/comm" 2>/dev/null) in
		openshell-* | bwrap | init) pss=$((pss + $(awk '/^Pss:/ { print $2 }' "/proc/$pid/smaps_rollup"))) ;;
		esac
	done 2>/dev/null
	at_most_memory $((pss / many)) 8192 'our processes of one idle sandbox, PSS in KiB'
else
	skip 'our processes of one idle sandbox, PSS in KiB' 'only root may look at them'
fi
T_TIMEOUT=120 run openshell sandbox delete --all
is "$status" 0 'all are deleted'
is "$(leftovers)" '' 'no process is left'
is "$(ls -A "$T/work")" '' 'and no stub in their directory'

# A read-only state directory.
chmod 0555 "$T/state"
user rm -rf "$T/state/openshell" 2>/dev/null
user sh -c 'chmod 0755 "$1"; rm -rf "$1/openshell"; chmod 0555 "$1"' - "$T/state"
run openshell sandbox create --name readonly --keep --no-auto-providers -- true
is "$status" 125 'a state directory that cannot be written: nothing starts'
one_line_error "$T/state.*Permission denied" 'and it says which'
chmod 0700 "$T/state"

# The runtime directory goes while a sandbox runs.
ok 'a sandbox' sandbox homeless
user sh -c 'echo kept >"$1/openshell/sandboxes/homeless/home/file"' - "$T/state"
user rm -rf "$T/run/openshell"
run inside homeless true
not_ok 'without its runtime directory it cannot be reached' test "$status" = 0
one_line_error . 'which is said'
run openshell sandbox stop homeless
is "$status" 0 'it can be stopped'
run openshell sandbox start homeless
is "$status" 0 'and started again'
run inside homeless 'cat ~/file'
is "$out" kept 'with its home'
openshell sandbox delete homeless

# A full disk: a small file system of its own as the state directory.
if [ "$(id -u)" = 0 ] && mkdir "$T/small" && mount -t tmpfs -o size=1m,mode=0700,uid="$T_UID" none "$T/small" 2>/dev/null; then
	trap 'umount -l "$T/small"; t_cleanup' EXIT
	T_ENV+=(XDG_STATE_HOME="$T/small")
	ok 'a sandbox on a small disk' sandbox small
	run inside small 'echo precious >~/file'
	user sh -c 'cat /dev/zero >"$1/filler" 2>/dev/null' - "$T/small"
	run inside small 'echo more >~/more; sync ~/more'
	not_ok 'on a full disk the sandbox gets ENOSPC' test -s "$T/small/openshell/sandboxes/small/home/more"
	run inside small 'cat ~/file'
	is "$out" precious 'and goes on'
	run openshell sandbox create --name another --keep --no-auto-providers -- true
	is "$status" 125 'another one is refused'
	one_line_error 'No space left' 'and it says why'
	run openshell policy set small --policy "$T_EXAMPLES/sandbox-policy-quickstart/policy.yaml" --wait
	not_ok 'a policy that cannot be recorded is not accepted' test "$status" = 0
	rm "$T/small/filler"
	run openshell sandbox list
	like "$out" '^small .*Ready' 'with room again it is as it was'
	unlike "$out" another 'and nothing half-made is there'
	run openshell policy set small --policy "$T_EXAMPLES/sandbox-policy-quickstart/policy.yaml" --wait
	is "$status" 0 'the policy is accepted'
	openshell sandbox stop small >/dev/null 2>&1
	openshell sandbox start small >/dev/null 2>&1
	run inside small 'cat ~/file'
	is "$out" precious 'nothing was lost'
	openshell sandbox delete small
else
	skip 'a full disk' 'no file system can be mounted here'
fi
is "$(leftovers)" '' 'nothing is left'
done_testing
