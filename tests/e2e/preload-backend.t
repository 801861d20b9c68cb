#!/bin/bash
# --intercept preload: cooperative. It records who cooperates, enforces nothing, and says so.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
cp "$T_SUPPORT/caller" "$T_SUPPORT/caller-static" "$T/work/"
cd "$T/work" || exit 1
start_origin
start plain "$T_SUPPORT/accept"
T_ENV+=("OPENSHELL_CONNECT_TO=api.github.com:443:127.0.0.1:$origin 192.0.2.1:4444:127.0.0.1:$plain")

run openshell sandbox create --no-auto-providers --intercept preload -- echo up
is "$status" 125 'without --audit nothing starts'
unlike "$out" up 'not with another backend either'
one_line_error '--intercept preload: it is cooperative and can enforce nothing' 'and says why'
like "$err" '^hint: with --audit' 'and what it is good for'

while pid=$(descendant openshell-trace); do wait_gone "$pid" 10; done
openshell sandbox create --name coop --detach --no-auto-providers --audit --stacks --intercept preload >/dev/null
log() { openshell logs coop -n 0 "$@"; }
like "$(log | head -1)" 'sandbox started: intercept=preload .*cooperative: nothing is enforced' 'the first line of the log names the backend and what it is worth'
like "$(log)" 'WARN .*only programs that load the preload library have a network' 'and who has a network'

# Who cooperates.
run openshell sandbox exec -n coop -- curl -sS https://api.github.com/zen
like "$out" 'Anything added dilutes everything else\.' 'by the proxy variables'
like "$(log)" '\[CONNECT\] action=audit dst_host=api\.github\.com dst_port=443 binary=/usr/bin/curl' 'who and where to is recorded'
run openshell sandbox exec -n coop -- curl -sS --noproxy '*' https://api.github.com/zen
like "$out" 'Anything added dilutes everything else\.' 'without them'
like "$(log)" '\[TCP\] action=audit dst_host=api\.github\.com dst_port=443 binary=/usr/bin/curl' 'is recorded, too'
like "$(log --stacks)" 'curl_easy_perform' 'with its stack'
run openshell sandbox exec -n coop -- node -e '
	require("https").get("https://api.github.com/zen", { agent: false }, r => r.on("data", d => console.log(String(d))))'
like "$out" 'Anything added dilutes everything else\.' 'a program that never blocks'
run openshell sandbox exec -n coop -- python3 -c '
import socket
s = socket.create_connection(("192.0.2.1", 4444))
print("peer", s.getpeername()[0])
l = socket.create_server(("127.0.0.1", 0))
c = socket.create_connection(l.getsockname())
print("own", c.getpeername() == l.getsockname())
for family, kind in (socket.AF_PACKET, socket.SOCK_RAW), (socket.AF_INET, socket.SOCK_RAW), (socket.AF_ALG, 5):
	try: socket.socket(family, kind); print("ok")
	except OSError: print("refused")'
like "$out" '^peer 192\.0\.2\.1$' 'the peer is the one that was asked for'
like "$out" '^own True$' 'a server in the sandbox is reached directly'
is "$(grep -c '^refused$' <<<"$out")" 3 'sockets of other families are refused without anybody asking'

# Who does not has the network namespace, which leads nowhere.
run openshell sandbox exec -n coop -- ./caller-static 192.0.2.1 4444 call
is "$out" ENETUNREACH 'a static program has no network'
run openshell sandbox exec -n coop -- ./caller 192.0.2.1 4444 raw
is "$out" ENETUNREACH 'nor has a system call past the library'
run openshell sandbox exec -n coop -- ./caller 192.0.2.1 4444 call
is "$out" ok 'where the same program has one when it asks'
run openshell sandbox exec -n coop -- ./caller-static 127.0.0.1 "$plain" call
is "$out" ECONNREFUSED "the host's loopback is nobody's"

# Nonsense at the socket.
pid_before=$(descendant openshell-trace)
run openshell sandbox exec -n coop -- python3 -c '
import array, os, socket, struct
for i in range(3000):
	s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
	s.connect("/run/openshell/preload.sock")
	data = os.urandom(i % 300) if i % 2 else struct.pack("<QIiQI", 0x706f6f636c6c6873, 42, 0, 2**63, i % 160) + bytes(132)
	fds = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0] * (i % 5)))] if i % 5 else []
	try: s.sendmsg([data], fds)
	except OSError: pass
print("done")'
is "$out" 'done' 'nonsense is taken in'
run openshell sandbox exec -n coop -- ./caller 192.0.2.1 4444 call
is "$out" ok 'and the next question is answered'
is "$(descendant openshell-trace)" "${pid_before:-none}" 'by the same supervisor'

# Stopped and started it is what it was.
ok 'stop' openshell sandbox stop coop
ok 'start' openshell sandbox start coop
run openshell sandbox exec -n coop -- ./caller 192.0.2.1 4444 call
is "$out" ok 'started again it still connects'
ok 'delete' openshell sandbox delete coop
is "$(leftovers)" '' 'nothing is left'
done_testing
