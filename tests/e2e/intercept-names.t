#!/bin/bash
# Names: every resolver gets an answer at once, over UDP and TCP, and nobody outside is asked (see
# names.t for that).
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
ok 'a sandbox' sandbox resolvers
synthetic4='^198\.(18|19)\.[0-9]+\.[0-9]+$'
synthetic6='^fd6f:7065:6e73:53:'
have() { inside resolvers "command -v $1" >/dev/null 2>&1; }

run inside resolvers 'getent ahostsv4 some.name.test | head -1 | cut -d" " -f1'
like "$out" "$synthetic4" 'getent, IPv4'
run inside resolvers 'getent ahostsv6 some.name.test | head -1 | cut -d" " -f1'
like "$out" "$synthetic6" 'getent, IPv6'
run inside resolvers 'getent hosts _under_score.test | cut -d" " -f1'
like "$out" "($synthetic4|$synthetic6)" 'a name with an underscore'
run inside resolvers 'getent ahostsv4 localhost | head -1 | cut -d" " -f1; getent ahostsv4 "$(hostname)" | head -1 | cut -d" " -f1'
is "$out" $'127.0.0.1\n127.0.0.1' 'localhost and the own host name are loopback'
cat >"$T/tmp/own.py" <<-'EOS'
	import http.server, os, socket, subprocess, threading
	server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
	threading.Thread(target=server.serve_forever, daemon=True).start()
	url = "http://%s:%d/" % (socket.gethostname(), server.server_port)
	raise SystemExit(subprocess.call(["curl", "-sSf", "-o", os.devnull, "-w", "%{http_code}", url]))
EOS
run openshell sandbox exec -n resolvers -- /usr/bin/python3 - <"$T/tmp/own.py"
like "$out" '200$' 'and a client that uses the proxy reaches a server there by that name'
run inside resolvers 'getent ahosts Mixed.Case.TEST. | head -1 | cut -d" " -f1; getent ahosts mixed.case.test | head -1 | cut -d" " -f1'
is "$(sort -u <<<"$out" | wc -l)" 1 'case and the trailing dot do not matter'

cat >"$T/work/pipelined.py" <<'PY'
import socket, struct
server = [l.split()[1] for l in open("/etc/resolv.conf") if l.startswith("nameserver")][0]
query = struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + b"\x04many\x04test\0\0\1\0\1"
s = socket.create_connection((server, 53), 5)
s.sendall((struct.pack(">H", len(query)) + query) * 20)
s.shutdown(socket.SHUT_WR)
stream, answers = s.makefile("rb"), 0
while head := stream.read(2):
    answers += len(stream.read(struct.unpack(">H", head)[0])) > len(query)
print(answers)
PY
chmod 0644 "$T/work/pipelined.py"
run openshell sandbox exec -n resolvers -- /usr/bin/python3 "$T/work/pipelined.py"
is "$out" 20 'questions over TCP that come at once are all answered'
run inside resolvers 'RES_OPTIONS="use-vc timeout:2 attempts:1" getent ahosts pipelined.name.test'
like "$out" '^198\.1.*STREAM' "glibc's two questions over TCP"

cat >"$T/work/names.py" <<'PY'
import asyncio, socket, time
start = time.monotonic()
a = {i[4][0] for i in socket.getaddrinfo("py.name.test", 443)}
print(len(a), any(x.startswith("198.1") for x in a), any(x.startswith("fd6f:") for x in a))
async def both():
    r = await asyncio.gather(*(asyncio.get_running_loop().getaddrinfo("n%d.test" % i, 80) for i in range(50)))
    return len({x[0][4][0] for x in r})
print(asyncio.run(both()))
try:
    print(socket.gethostbyaddr("198.18.0.1"))
except OSError as e:
    print("no name")
print(time.monotonic() - start < 5)
PY
run inside resolvers "/usr/bin/python3 $T/work/names.py"
is "$out" $'2 True True\n50\nno name\nTrue' 'Python: both families, many at once, no reverse names, no delay'

if have node; then
	run inside resolvers "node -e '
		const dns = require(\"dns\").promises;
		(async () => {
			console.log((await dns.lookup(\"node.name.test\", { family: 4 })).address);
			console.log((await dns.resolve4(\"node.name.test\"))[0]);
			for (const f of [\"resolve6\", \"resolveMx\", \"resolveTxt\", \"resolveSrv\"])
				console.log(f, await dns[f](\"node.name.test\").then(x => x[0], e => e.code));
		})()'"
	like "$(sed -n 1p <<<"$out")" "$synthetic4" 'Node, getaddrinfo()'
	is "$(sed -n 2p <<<"$out")" "$(sed -n 1p <<<"$out")" 'Node, c-ares: the same address'
	like "$out" '^resolve6 fd6f:' 'and its IPv6 one'
	is "$(grep -c ENODATA <<<"$out")" 3 'other types have no data'
else
	skip 'Node' 'not installed'
fi
if have dig; then
	dig() { run inside resolvers "dig +time=2 +tries=1 $*"; }
	dig +short dig.name.test
	like "$out" "$synthetic4" 'dig'
	address=$out
	dig +short +tcp dig.name.test
	is "$out" "$address" 'dig over TCP'
	dig +short +noedns dig.name.test
	is "$out" "$address" 'dig without EDNS'
	dig +short +bufsize=4096 +dnssec dig.name.test
	is "$out" "$address" 'dig with DNSSEC asked for'
	for type in MX TXT NS SOA SRV HTTPS ANY; do
		dig dig.name.test "$type"
		like "$out" 'status: NOERROR.*|ANSWER: 0' "dig $type"
		unlike "$out" 'ANSWER: [1-9]' "dig $type has no data"
	done
	dig -x 198.18.0.1
	like "$out" 'status: NXDOMAIN' 'dig -x'
	dig . NS
	like "$out" 'status: NOERROR' 'the root exists'
	dig +short @10.200.0.1 dig.name.test AAAA
	like "$out" "$synthetic6" 'dig at the address itself'
else
	skip 'dig' 'not installed'
fi
if command -v musl-gcc >/dev/null; then
	cat >"$T/tmp/musl.c" <<-'EOS'
		#include <netdb.h>
		#include <stdio.h>
		#include <arpa/inet.h>
		int main(int argc, char **argv)
		{
			struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *to;
			char text[64];

			if (argc < 2 || getaddrinfo(argv[1], "443", &hints, &to))
				return 1;
			for (; to; to = to->ai_next)
				puts(inet_ntop(to->ai_family, to->ai_family == AF_INET ? (void *)&((struct sockaddr_in *)to->ai_addr)->sin_addr :
					(void *)&((struct sockaddr_in6 *)to->ai_addr)->sin6_addr, text, sizeof(text)));
			return 0;
		}
	EOS
	musl-gcc -static -o "$T/work/musl" "$T/tmp/musl.c"
	chmod 0755 "$T/work/musl"
	run inside resolvers "$T/work/musl musl.name.test"
	like "$out" "$synthetic4" 'musl, IPv4'
	like "$out" "$synthetic6" 'musl, IPv6'
else
	skip 'musl' 'musl-gcc is not installed'
fi
run openshell logs resolvers --since 5m
unlike "$out" 'action=deny' 'resolving a name is not logged as an attempt to send'
run openshell sandbox delete resolvers
is "$(leftovers)" '' 'nothing is left'
done_testing
