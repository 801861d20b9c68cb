#!/bin/bash
# A disk without room: what cannot be written down does not happen, and nothing that was written
# down is lost. Needs root for a file system of its own, in a mount namespace that goes with it.
if [ "$(id -u)" = 0 ] && [ -z "${T_OWN_MOUNTS:-}" ]; then
	T_OWN_MOUNTS=1 exec unshare --mount "$BASH" "$0" "$@"
fi
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
[ "$(id -u)" = 0 ] || skip_all 'only root can mount a small file system'
mount -t tmpfs -o size=1m,mode=700,uid="$T_UID",gid="$T_UID" tmpfs "$T/state" || skip_all 'no tmpfs here'

ok 'a sandbox' openshell sandbox create --name full --detach
user dd if=/dev/zero of="$T/state/filler" bs=4k 2>/dev/null

# Each denial is a line of some 200 bytes; the page that the log has already holds 20 of them.
run user timeout 25 openshell sandbox exec -n full -- sh -c '
	for i in $(seq 40); do curl -s -o /dev/null -w "%{http_code}\n" "http://h$i.example.com/"; done'
answered=$(grep -c '^403' <<<"$out")
reset=$(grep -c '^000' <<<"$out")
is "$((answered + reset))" 40 'every request came to an end'
ok 'some were answered, while there was room' test "$answered" -gt 0
ok 'the others were not: their denial could not be logged' test "$reset" -gt 0

user rm "$T/state/filler"
run openshell sandbox exec -n full -- curl -s -o /dev/null -w '%{http_code}' http://last.example.com/
is "$out" 403 'with room again, answers come'
run openshell logs full -n 0
is "$(grep -c 'action=deny dst_host=h[0-9]*\.example\.com ' <<<"$out")" 40 'and every denial is in the log after all'
like "$out" 'dst_host=last\.example\.com' 'the last one too'
ok 'delete' openshell sandbox delete full
umount -l "$T/state"

done_testing
