#!/bin/bash
# Namespaces of the workload's own, where the policy lets it have them (threats.md 24): the number of a
# task is translated right, and its identity is the file that it executes, wherever that is mounted.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
arena nested
cp "$T/work/attack" "$T/work/evil"
chmod 0755 "$T/work/evil"
run inside nested 'unshare -Ur true'
not_ok 'without leave there are none' test "$status" = 0
run openshell sandbox delete nested
sed -i 's/^network_policies:/process:\n  allow_user_namespaces: true\n&/' "$T/work/arena.yaml"
ok 'a sandbox that may have namespaces' sandbox nested --policy "$T/work/arena.yaml" \
	--connect-to "allowed.test:7000:127.0.0.1:$allowed_port" --connect-to "denied.test:7000:127.0.0.1:$denied_port"
control
run inside nested 'unshare -Urpf true && echo made'
is "$out" made 'control: they can be made'

in_new() { run openshell sandbox exec -n nested -- unshare "$@"; }
for how in -Ur '-Urpf' '-Urpf -m' '-Uri'; do
	read -ra flags <<<"$how"
	in_new "${flags[@]}" "$T/work/attack" reach allowed.test 7000
	is "$(outcome reach)" ok "unshare $how: the allowed program is known"
	heard=$(grep -c tcp "$allowed_log")
	in_new "${flags[@]}" "$T/work/evil" reach allowed.test 7000
	like "$(outcome reach)" '^E' "unshare $how: its copy is not"
	is "$(grep -c tcp "$allowed_log")" "$heard" "unshare $how: and the canary is silent"
	in_new "${flags[@]}" "$T/work/attack" reach denied.test 7000
	like "$(outcome reach)" '^E' "unshare $how: what is denied stays denied"
done

# Another file at the allowed path, in a mount namespace of its own.
heard=$(grep -c tcp "$allowed_log")
in_new -Urm sh -c "mount --bind $T/work/evil $T/work/attack && exec $T/work/attack reach allowed.test 7000"
unlike "$(outcome reach)" '^ok' 'a copy mounted over the allowed path is not the file of that path'
in_new -Urm sh -c "mount -t tmpfs none /tmp && cp $T/work/attack /tmp/attack && mount --bind /tmp/attack $T/work/attack && exec $T/work/attack reach allowed.test 7000"
unlike "$(outcome reach)" '^ok' 'nor is one on a file system of its own'
is "$(grep -c tcp "$allowed_log")" "$heard" 'and the canary is silent'

# A network namespace of its own has no way out at all, and the way back is shut.
in_new -Urn "$T/work/attack" reach allowed.test 7000
unlike "$(outcome reach)" '^ok' 'a network namespace of its own has no way out'
in_new -Ur bwrap --unshare-net --ro-bind / / --dev /dev "$T/work/attack" reach allowed.test 7000
unlike "$out" 'reach: ok' 'nor has a bubblewrap inside'
control
arena_closed "action=deny dst_host=allowed\\.test .*binary=$T/work/evil"
