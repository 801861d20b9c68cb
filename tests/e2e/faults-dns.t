#!/bin/bash
# The host's resolver is dead: it does not answer, answers nonsense or an error, or there is none. Whoever asks
# for such a name is told so in bounded time, the log says why, nothing opens, and others go on. In a network and
# a mount namespace of its own, with a resolver that does as the name says.
if [ "$(id -u)" = 0 ] && [ -z "${T_OWN_NET:-}" ]; then
	T_OWN_NET=1 exec unshare --mount --net "$BASH" "$0" "$@"
fi
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
[ "$(id -u)" = 0 ] || skip_all 'only root can be the resolver of a network of its own'
ip link set lo up 2>/dev/null || skip_all 'no ip(8)'
cat >"$T/tmp/resolver.py" <<'PY'
import socket, struct, sys, threading, time
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(("127.0.0.1", 53))
tcp = socket.create_server(("127.0.0.1", 53))
def cut():
    while True:
        tcp.accept()[0].close()
threading.Thread(target=cut, daemon=True).start()
print(53, flush=True)
log = open(sys.argv[1], "w", buffering=1)
while True:
    q, who = udp.recvfrom(2048)
    at, labels = 12, []
    while q[at]:
        labels.append(q[at + 1:at + 1 + q[at]].decode()); at += q[at] + 1
    question, kind = q[12:at + 5], struct.unpack(">H", q[at + 1:at + 3])[0]
    print(".".join(labels), file=log)
    answer = lambda flags, n=0, rest=b"": udp.sendto(q[:2] + struct.pack(">HHHHH", flags, 1, n, 0, 0) + question + rest, who)
    what = labels[0]
    if what == "servfail": answer(0x8182)
    elif what == "garbage": udp.sendto(q[:2] + b"\x81\x80" + b"\xff" * 300, who)
    elif what == "loop": answer(0x8180, 1, b"\xc0\x1c" * 20)
    elif what == "truncated": answer(0x8380)
    elif what == "good":
        if kind == 1: answer(0x8180, 1, b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + bytes([93, 184, 216, 34]))
        else: answer(0x8180)
PY
chmod 0755 "$T/tmp"; chmod 0644 "$T/tmp/resolver.py"
/usr/bin/python3 "$T/tmp/resolver.py" "$T/tmp/asked" >"$T/tmp/port" 2>"$T/tmp/resolver.err" &
t_cleanup_pid $!
wait_line "$T/tmp/port" 53 >/dev/null || skip_all "no resolver: $(cat "$T/tmp/resolver.err")"
printf 'nameserver 127.0.0.1\noptions timeout:30 attempts:1\n' >"$T/tmp/resolv.conf"
printf 'hosts: files dns\n' >"$T/tmp/nsswitch.conf"
chmod 0644 "$T"/tmp/*.conf
conf=$(readlink -f /etc/resolv.conf)
if ! mount --bind "$T/tmp/resolv.conf" "$conf" || ! mount --bind "$T/tmp/nsswitch.conf" /etc/nsswitch.conf; then
	skip_all 'no resolv.conf of our own'
fi

start plain "$T_SUPPORT/origin" --plain
cat >"$T/work/policy.yaml" <<'EOS'
version: 1
network_policies:
  names:
    endpoints:
      - { host: "*.dead.test", port: 80, protocol: rest, enforcement: enforce, access: read-only }
      - { host: pinned.test, port: 80, protocol: rest, enforcement: enforce, access: read-only }
    binaries: [ { path: /usr/bin/curl } ]
EOS
chmod 0644 "$T/work/policy.yaml"
ok 'a sandbox' sandbox dns --policy "$T/work/policy.yaml" --connect-to "pinned.test:80:127.0.0.1:$plain"
get() { openshell sandbox exec -n dns -- curl -s -m 20 -o /dev/null -w '%{http_code} %{time_total}\n' "http://$1/${2:-}"; }
names=(silent servfail garbage loop truncated good)
gets=()
for name in "${names[@]}"; do
	(get "$name.dead.test" >"$T/tmp/$name.out") &
	gets+=($!)
done
ok 'one that does not answer is asked' wait_line "$T/tmp/asked" '^silent'
run get pinned.test bytes/10
like "$out" '^200 [01]\.' 'somebody else is served at once'
run get denied.test
like "$out" '^403 [01]\.' 'a name that no policy names is refused at once'
wait "${gets[@]}"
run openshell logs dns -n 0
log=$out
for name in "${names[@]}"; do
	read -r code seconds <"$T/tmp/$name.out"
	is "$code" 502 "$name: an answer"
	at_most "${seconds%.*}" 12 'in seconds'
	[ "$name" = good ] || like "$log" "dst_host=$name\.dead\.test.*(resol|name|nswer|address)|(resol|name|nswer|address).*$name\.dead\.test" 'the log says that it is the name'
done
like "$(cat "$T/tmp/asked")" '^good' 'control: the resolver is asked'
like "$log" 'good\.dead\.test.*(unreachable|failed)' 'control: with an answer it is the network that lacks'
unlike "$(cat "$T/tmp/asked")" denied 'nobody hears of a name that is denied'

openshell sandbox delete dns

# The host's own rules do not have DNS among them: nobody is asked.
umount /etc/nsswitch.conf
printf 'hosts: files\n' >"$T/tmp/nsswitch.conf"
mount --bind "$T/tmp/nsswitch.conf" /etc/nsswitch.conf
ok 'a sandbox where names come from files alone' sandbox dns --policy "$T/work/policy.yaml" --connect-to "pinned.test:80:127.0.0.1:$plain"
run get unasked.dead.test
like "$out" '^502 [01]\.' 'no dns in nsswitch.conf: an answer at once'
run get pinned.test bytes/10
like "$out" '^200' 'and others are served'
unlike "$(cat "$T/tmp/asked")" unasked 'the resolver is not asked'
run openshell logs dns -n 0
like "$out" 'unasked\.dead\.test.*(resol|name)|(resol|name).*unasked\.dead\.test' 'the log says why'
umount /etc/nsswitch.conf
printf 'hosts: files dns\n' >"$T/tmp/nsswitch.conf"
mount --bind "$T/tmp/nsswitch.conf" /etc/nsswitch.conf

# None at all.
umount "$conf"
: >"$T/tmp/resolv.conf"
mount --bind "$T/tmp/resolv.conf" "$conf"
openshell sandbox delete dns
kill "${T_PIDS[0]}"
ok 'a sandbox where there is no resolver' sandbox dns --policy "$T/work/policy.yaml" --connect-to "pinned.test:80:127.0.0.1:$plain"
run get other.dead.test
like "$out" '^502 [0-9]\.' 'no resolver: an answer soon'
run get pinned.test bytes/10
like "$out" '^200' 'and others are served'
run openshell logs dns -n 0
like "$out" 'other\.dead\.test.*(resol|name)|(resol|name).*other\.dead\.test' 'the log says why'
openshell sandbox delete dns
umount "$conf" /etc/nsswitch.conf

# The files that say who is to be asked: in an /etc of our own.
mkdir "$T/etc"
cp -a /etc/. "$T/etc/" 2>/dev/null
chmod 0755 "$T/etc"
mount --bind "$T/etc" /etc
without() { # NAME COMMAND...: how it is made so
	local name=$1

	shift
	rm -rf /etc/resolv.conf /etc/nsswitch.conf
	printf 'nameserver 127.0.0.1\noptions timeout:30 attempts:1\n' >/etc/resolv.conf
	printf 'hosts: files dns\n' >/etc/nsswitch.conf
	"$@"
	ok "$name: a sandbox" sandbox dns --policy "$T/work/policy.yaml" --connect-to "pinned.test:80:127.0.0.1:$plain"
	run get other.dead.test
	like "$out" '^502 [0-9]\.' "$name: an answer soon"
	run get pinned.test bytes/10
	like "$out" '^200' "$name: others are served"
	run openshell sandbox exec -n dns -- curl -s -m 20 --noproxy '*' -o /dev/null -w '%{http_code}\n' http://pinned.test/bytes/10
	is "$out" 200 "$name: and names have addresses inside"
	run get denied.test
	like "$out" '^403 [01]\.' "$name: nothing opens"
	run openshell logs dns -n 0
	like "$out" 'other\.dead\.test.*(resol|name)|(resol|name).*other\.dead\.test' "$name: the log says why"
	openshell sandbox delete dns >/dev/null
}
without 'no resolv.conf' rm /etc/resolv.conf
without 'a resolv.conf that cannot be read' chmod 0 /etc/resolv.conf
without 'a resolv.conf that is no text' cp /bin/true /etc/resolv.conf
without 'no nsswitch.conf' rm /etc/nsswitch.conf
without 'no hostname' rm -f /etc/hostname
without 'an nsswitch.conf that cannot be read' chmod 0 /etc/nsswitch.conf
without 'an empty nsswitch.conf' cp /dev/null /etc/nsswitch.conf
umount /etc
is "$(leftovers)" '' 'nothing is left'
done_testing
