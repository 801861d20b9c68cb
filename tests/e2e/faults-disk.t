#!/bin/bash
# No room: in the runtime directory, in the state directory, and for the next segment of the log. What cannot be kept is
# refused and told, what runs goes on, nothing opens, and with room again everything is as it was. File systems of its
# own, in a mount namespace that goes with it.
if [ "$(id -u)" = 0 ] && [ -z "${T_OWN_MOUNTS:-}" ]; then
	T_OWN_MOUNTS=1 exec unshare --mount "$BASH" "$0" "$@"
fi
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
[ "$(id -u)" = 0 ] || skip_all 'only root can mount a small file system'
small() { mount -t tmpfs -o "mode=700,uid=$T_UID,gid=$T_UID,$2" tmpfs "$1" || skip_all 'no tmpfs here'; }
room() { mount -o "remount,$2" "$1"; }
# What was removed takes its room until the last who has it open has ended, of a sandbox's mounts, too.
settled() {
	local deadline=$((SECONDS + 10))

	until [ "$(df -k --output=used,iused "$1" | tail -1 | xargs)" = "$(du -sk "$1" | cut -f1) $(find "$1" | wc -l)" ]; do
		[ "$SECONDS" -lt "$deadline" ] || { fail "what was removed from $1 is gone"; return 1; }
	done
}
fill() { settled "$1" && user dd if=/dev/zero of="$1/filler" bs=1k 2>/dev/null; }
small "$T/run" size=8k,nr_inodes=64
small "$T/state" size=64m,nr_inodes=500
start_origin
policy_for /usr/bin/curl >"$T/work/policy.yaml"
policy_for /usr/bin/curl /usr/bin/wget >"$T/work/other.yaml"
chmod 0644 "$T"/work/*.yaml
create=(openshell sandbox create --no-auto-providers)
zen() { openshell sandbox exec -n "$1" -- curl -sS -m 10 https://api.github.com/zen; }

# The runtime directory. The trust bundle alone is larger.
run "${create[@]}" -- true
is "$status" 125 'a runtime directory without room: nothing starts'
one_line_error 'No space left' 'and it says why'
room "$T/run" "size=8m,nr_inodes=$(($(df --output=iused "$T/run" | tail -1) + 1))"
run "${create[@]}" -- true
is "$status" 125 'without room for files: nothing starts'
one_line_error '(runtime directory|pid file).*No space left' 'and it says where'
room "$T/run" nr_inodes=64
run openshell sandbox list -o json
is "$(jq length <<<"$out")" 0 'nothing of them is left'
is "$(leftovers)$(find "$T/run" ! -type d ! -name '*.lock')" '' 'no process and no file either'
ok 'with room a sandbox starts' sandbox tight --policy "$T/work/policy.yaml"
like "$(zen tight)" Anything 'control: and has network'
fill "$T/run"
run inside tight 'echo alive'
is "$out" alive 'when the room is gone, commands run'
like "$(zen tight)" Anything 'with network'
run openshell policy set tight --policy "$T/work/other.yaml" --wait
is "$status" 0 'a new policy is taken'
run openshell sandbox exec -n tight -- curl -sS -m 10 -o /dev/null -w '%{http_code}' http://denied.test/
is "$out" 403 'and nothing opens'
ok 'it is stopped' openshell sandbox stop tight
fill "$T/run"
run openshell sandbox start tight
not_ok 'and not started without room' test "$status" = 0
one_line_error 'No space left' 'which is said, too'
user rm "$T/run/filler"
run openshell sandbox start tight
is "$status" 0 'with room it is'
unlike "$err" 'had died' 'and nobody is said to have died'
like "$(zen tight)" Anything 'with its network'
openshell sandbox delete tight >/dev/null

# The state directory is full when it is started.
ok 'a sandbox with a home' sandbox home
inside home 'echo precious >~/file'
openshell sandbox stop home >/dev/null
fill "$T/state"
run openshell sandbox start home
[ "$status" = 0 ] || one_line_error 'No space left' 'without room for its log it is not started, which is said'
[ "$status" != 0 ] || pass 'it is started'
user rm "$T/state/filler"
openshell sandbox start home >/dev/null 2>&1
run inside home 'cat ~/file'
is "$out" precious 'with room it is as it was'
openshell sandbox delete home >/dev/null

# The next segment of the log.
arena turns
dir=$T/state/openshell/sandboxes/turns/log
segments() { find "$dir" -name '*.log' -printf '%f\n' | sort; }
segment() { echo "$dir/$(segments | tail -1)"; }
refused() { openshell sandbox exec -n turns -- bash -c "exec 3<>/dev/tcp/192.0.2.1/$1" >/dev/null 2>&1; }
logged() { openshell logs turns -n 0 | grep -c "dst_port=$1 "; }
grow() {
	/usr/bin/python3 -c 'print("\n".join(["{\"t\":1775014132118,\"l\":1,\"a\":\"TCP\",\"d\":\"allow\",\"h\":\"x.test\",\"o\":443}"] * 130000))' |
		as_user tee -a "$(segment)" >/dev/null
}
begun() { # COUNT: so many segments, within 20 seconds
	local deadline=$((SECONDS + 20))

	until [ "$(segments | wc -l)" -ge "$1" ]; do [ "$SECONDS" -lt "$deadline" ] || return 1; done
}
follow() {
	T_EXEC='exec' openshell logs turns -n 1 --tail >"$T/tmp/tail" 2>/dev/null &
	follower=$!
}
settled "$T/state"
# shellcheck disable=SC2016 # as the user
user sh -c 'i=0; while : >"$1/i$i"; do i=$((i + 1)); done 2>/dev/null' - "$T/state"
follow
grow
ok 'without room for a segment the log goes on in the old one, and says so' \
	wait_line "$T/tmp/tail" 'WARN.*the log goes on in the old segment: .*No space left' 20
kill "$follower"
refused 1001
control
is "$(segments | wc -l) $(logged 1001)" '1 1' 'there an event is logged'
user find "$T/state" -maxdepth 1 -name 'i*' -delete
ok 'with room there is a new one' begun 2
refused 1002
control
is "$(logged 1001) $(logged 1002) $(openshell logs turns -n 0 | grep -c x.test)" '1 1 130000' 'and nothing is lost'
like "$(cat "$(segment)")" '"o":1002' 'the supervisor writes to it'
ok 'and the proxy' wait_line "$(segment)" '"m":"closed"'
is "$(openshell logs turns -n 0 | grep -c 'goes on in the old segment')" 1 'it was said once'

run openshell sandbox delete turns
not_ok 'the denied canary is silent' grep -q . "$denied_log"
is "$(leftovers)" '' 'nothing is left'
is "$(find "$T/run" -mindepth 2 ! -type d ! -name '*.lock')" '' 'no file in the runtime directory'
umount -l "$T/run" "$T/state"
done_testing
