#!/bin/bash
# Bytes that are meant to be read differently by the proxy and by the server (threats.md 25 to 33): the
# server's log shows what got through, and a well-formed request beside each attack shows that it could.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
start_origin
python=$(readlink -f /usr/bin/python3)
cp "$T_TOP/tests/support/clients/raw.py" "$T/work/raw.py"
chmod 0644 "$T/work/raw.py"
cat >"$T/work/policy.yaml" <<EOS
version: 1
network_policies:
  github:
    endpoints:
      - host: api.github.com
        port: 443
        protocol: rest
        enforcement: enforce
        rules:
          - allow: { method: GET, path: /zen }
          - allow: { method: GET, path: /repos/** }
        deny_rules:
          - { method: GET, path: /repos/secret/** }
    binaries:
      - { path: $python }
EOS
ok 'a sandbox' sandbox proxy --policy "$T/work/policy.yaml"

# raw JSON: runs the cases; `said ID` is what came of one.
raw() {
	cat >"$T/work/cases.json"
	run openshell sandbox exec -n proxy -- "$python" "$T/work/raw.py" "$T/work/cases.json"
}
said() { sed -n "s/^$1 //p" <<<"$out"; }
ids() { jq -r '.[].id' "$T/work/cases.json"; }

C='CONNECT api.github.com:443 HTTP/1.1\r\nHost: api.github.com:443\r\n\r\n'
G='GET /zen HTTP/1.1\r\nHost: api.github.com\r\n\r\n'
raw <<EOS
[{"id":"good","connect":"$C","send":"$G"}]
EOS
is "$(said good)" '200 200' 'control: a well-formed request gets through'
: >"$origin_log"

# 28: names that two readers may read differently. None may be dialled.
raw <<'EOS'
[{"id":"nul","connect":"CONNECT api.github.com\u0000.evil.test:443 HTTP/1.1\r\nHost: api.github.com:443\r\n\r\n"},
 {"id":"crlf","connect":"CONNECT api.github.com\r\n.evil.test:443 HTTP/1.1\r\n\r\n"},
 {"id":"space","connect":"CONNECT api.github.com .evil.test:443 HTTP/1.1\r\nHost: x\r\n\r\n"},
 {"id":"percent","connect":"CONNECT api.github.com%00.evil.test:443 HTTP/1.1\r\nHost: x\r\n\r\n"},
 {"id":"user","connect":"CONNECT api.github.com@evil.test:443 HTTP/1.1\r\nHost: x\r\n\r\n"},
 {"id":"empty-label","connect":"CONNECT api..github.com:443 HTTP/1.1\r\nHost: x\r\n\r\n"},
 {"id":"suffix","connect":"CONNECT api.github.com.evil.test:443 HTTP/1.1\r\nHost: x\r\n\r\n"},
 {"id":"prefix","connect":"CONNECT evilapi.github.com:443 HTTP/1.1\r\nHost: x\r\n\r\n"},
 {"id":"integer","connect":"CONNECT 2130706433:443 HTTP/1.1\r\nHost: x\r\n\r\n"},
 {"id":"octal","connect":"CONNECT 0177.0.0.1:443 HTTP/1.1\r\nHost: x\r\n\r\n"},
 {"id":"zone","connect":"CONNECT [fe80::1%25lo]:443 HTTP/1.1\r\nHost: x\r\n\r\n"},
 {"id":"homograph","connect":"CONNECT \u00e0pi.github.com:443 HTTP/1.1\r\nHost: x\r\n\r\n"},
 {"id":"no-port","connect":"CONNECT api.github.com HTTP/1.1\r\nHost: x\r\n\r\n"},
 {"id":"other-port","connect":"CONNECT api.github.com:80 HTTP/1.1\r\nHost: x\r\n\r\n"},
 {"id":"http09","connect":"CONNECT api.github.com:443\r\n\r\n"},
 {"id":"bare-lf","connect":"CONNECT api.github.com:443 HTTP/1.1\nHost: api.github.com:443\n\n"}]
EOS
for id in $(ids); do unlike "$(said "$id")" '^200' "CONNECT, $id"; done
not_ok 'nothing was dialled for any of them' grep -q connect "$origin_log"

# 29, 31, 33: inside the tunnel. `want` is what the server may at most have seen.
raw <<EOS
[{"id":"other-sni","connect":"$C","sni":"evil.test","send":"$G"},
 {"id":"other-host","connect":"$C","send":"GET /zen HTTP/1.1\r\nHost: evil.test\r\n\r\n"},
 {"id":"two-hosts","connect":"$C","send":"GET /zen HTTP/1.1\r\nHost: api.github.com\r\nHost: evil.test\r\n\r\n"},
 {"id":"absolute","connect":"$C","send":"GET https://evil.test/zen HTTP/1.1\r\nHost: api.github.com\r\n\r\n"},
 {"id":"no-host","connect":"$C","send":"GET /zen HTTP/1.1\r\n\r\n"},
 {"id":"cl-te","connect":"$C","send":"GET /zen HTTP/1.1\r\nHost: api.github.com\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
 {"id":"two-cl","connect":"$C","send":"GET /zen HTTP/1.1\r\nHost: api.github.com\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\nhello"},
 {"id":"te-space","connect":"$C","send":"GET /zen HTTP/1.1\r\nHost: api.github.com\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n"},
 {"id":"te-xchunked","connect":"$C","send":"GET /zen HTTP/1.1\r\nHost: api.github.com\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"},
 {"id":"bare-cr","connect":"$C","send":"GET /zen HTTP/1.1\r\nHost: api.github.com\r\nX: \rTransfer-Encoding: chunked\r\n\r\n"},
 {"id":"obs-fold","connect":"$C","send":"GET /zen HTTP/1.1\r\nHost: api.github.com\r\nX: a\r\n b\r\n\r\n"},
 {"id":"nul-value","connect":"$C","send":"GET /zen HTTP/1.1\r\nHost: api.github.com\r\nX: a\u0000b\r\n\r\n"},
 {"id":"http20","connect":"$C","send":"GET /zen HTTP/2.0\r\nHost: api.github.com\r\n\r\n"},
 {"id":"trace","connect":"$C","send":"TRACE /zen HTTP/1.1\r\nHost: api.github.com\r\n\r\n"},
 {"id":"lower","connect":"$C","send":"post /zen HTTP/1.1\r\nHost: api.github.com\r\nContent-Length: 0\r\n\r\n"},
 {"id":"connect-inside","connect":"$C","send":"CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n"},
 {"id":"h2c","connect":"$C","send":"GET /octocat HTTP/1.1\r\nHost: api.github.com\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"}]
EOS
for id in $(ids); do unlike "$(said "$id")" '^200 200' "$id is not answered"; done
not_ok 'and no request of them reached the server' grep -q '^request' "$origin_log"

raw <<EOS
[{"id":"pipelined","connect":"$C","send":"${G}DELETE /repos/x HTTP/1.1\r\nHost: api.github.com\r\n\r\n"},
 {"id":"in-body","connect":"$C","send":"GET /zen HTTP/1.1\r\nHost: api.github.com\r\nContent-Length: 49\r\n\r\nDELETE /repos/x HTTP/1.1\r\nHost: api.github.com\r\n\r\n"}]
EOS
like "$(said pipelined)" '^200 200( 403)?$' 'a request behind an allowed one is judged by itself'
unlike "$(cat "$origin_log")" '^request DELETE' 'and did not reach the server'

# 32: paths.
: >"$origin_log"
{
	echo '['
	n=0
	for path in /octocat /zen/../octocat /zen/%2e%2e/octocat //octocat /./octocat '/zen/..;/octocat' '/zen%2f..%2foctocat' \
		/repos/../octocat /repos/%2e%2e%2foctocat /ZEN '/zen\\..\\octocat' /zen/%252e%252e/octocat /repos/x/../secret/y \
		/repos//secret/y /repos/./secret/y /repos/%73ecret/y '/repos/secret;a=b/y' /repos/x/%2e%2e/secret/y; do
		[ $n = 0 ] || echo ,
		n=$((n + 1))
		printf '{"id":"path%d","connect":"%s","send":"GET %s HTTP/1.1\\r\\nHost: api.github.com\\r\\n\\r\\n"}' $n "$C" "$path"
	done
	echo ']'
} | raw
for id in $(ids); do unlike "$(said "$id")" '^200 200' "$id: $(jq -r ".[] | select(.id == \"$id\").send" "$T/work/cases.json" | sed -n '1s/ HTTP.*//p')"; done
unlike "$(cat "$origin_log")" 'octocat|secret' 'no spelling of a denied path reached the server'

# 25, 27: our own listener, and a relay inside.
cat >"$T/work/relay.py" <<'PY'
import os, socket, subprocess, threading, urllib.parse
up = urllib.parse.urlparse(os.environ["https_proxy"])
l = socket.socket(); l.bind(("127.0.0.1", 0)); l.listen()
def pump(a, b):
    while True:
        d = a.recv(4096)
        if not d: break
        b.sendall(d)
def serve():
    while True:
        c, _ = l.accept()
        u = socket.create_connection((up.hostname, up.port))
        for a, b in ((c, u), (u, c)):
            threading.Thread(target=pump, args=(a, b), daemon=True).start()
threading.Thread(target=serve, daemon=True).start()
subprocess.run(["/usr/bin/curl", "-sS", "-m", "5", "-x", "http://127.0.0.1:%d" % l.getsockname()[1], "https://api.github.com/zen"])
PY
policy_for /usr/bin/curl | sed '/^filesystem_policy/,/^  run_as_group/d' >"$T/work/curl.yaml"
run openshell policy set proxy --policy "$T/work/curl.yaml" --wait
is "$status" 0 "a policy for curl"
run inside proxy 'curl -sS https://api.github.com/zen'
like "$out" Anything 'control: curl may'
run openshell sandbox exec -n proxy -- "$python" "$T/work/relay.py"
unlike "$out" Anything 'through a relay it is the relay that asks'
run openshell logs proxy --since 5m
like "$out" "action=deny dst_host=api\\.github\\.com dst_port=443 binary=$python" 'and the log names it'
unlike "$out" 'evil\.test.*action=allow|action=allow.*evil\.test' 'nothing was allowed to evil.test'

run openshell sandbox delete proxy
is "$(leftovers)" '' 'nothing is left'
done_testing
