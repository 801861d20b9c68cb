#!/bin/bash
# Programs that ignore every proxy variable are judged like those that do not: each does a GET that
# the policy allows and a POST that it does not, over TLS that it verifies itself.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
start_origin
zen='Anything added dilutes everything else\.'
url=https://api.github.com
cd "$T/work" || exit 1

if command -v go >/dev/null; then
	cp "$T_TOP/tests/support/clients/blind.go" "$T/work/"
	run env CGO_ENABLED=0 HOME="$T/tmp/go" GOCACHE="$T_BUILD/gocache" GOFLAGS=-mod=mod go build -o "$T/work/blind" "$T/work/blind.go"
	[ "$status" = 0 ] || diag "$err"
fi

policy_for "$T/work/blind" /usr/bin/nghttp /usr/bin/h2load /usr/bin/node /usr/bin/python3.11 "$(readlink -f /usr/bin/python3)" >"$T/work/policy.yaml"
ok 'a sandbox with its policy from the start' sandbox clients --policy "$T/work/policy.yaml"

if [ -x "$T/work/blind" ]; then
	run inside clients "$T/work/blind GET $url/zen"
	like "$out" "^200 $zen" 'a static Go program GETs'
	run inside clients "$T/work/blind POST $url/repos/octocat/hello-world/issues"
	like "$out" '^403 .*"error":"policy_denied"' 'and cannot POST'
	run inside clients "env -u SSL_CERT_FILE -u SSL_CERT_DIR $T/work/blind GET $url/zen"
	like "$out" "^200 $zen" 'it finds the certificates without being told'
else
	skip 'a static Go program' 'no go compiler here'
fi

fetch() {
	inside clients "node -e '
		fetch(\"$url$2\", { method: \"$1\" })
		.then(async r => console.log(r.status, await r.text()))
		.catch(e => { console.error(e.cause || e); process.exit(1) })'"
}
if command -v node >/dev/null && node -e 'fetch' 2>/dev/null; then
	run fetch GET /zen
	like "$out" "^200 $zen" "Node's fetch GETs"
	run fetch POST /repos/octocat/hello-world/issues
	like "$out" '^403 .*"error":"policy_denied"' 'and cannot POST'
else
	skip "Node's fetch" 'no node with fetch here'
fi

python() {
	inside clients "/usr/bin/python3 -c '
import urllib.request as u, sys
o = u.build_opener(u.ProxyHandler({}))
try:
    print(200, o.open(u.Request(\"$url$2\", method=\"$1\", data=None if \"$1\" == \"GET\" else b\"{}\")).read().decode())
except u.HTTPError as e:
    print(e.code, e.read().decode())'"
}
run python GET /zen
like "$out" "^200 $zen" "Python's urllib without proxies GETs"
run python POST /repos/octocat/hello-world/issues
like "$out" '^403 .*"error":"policy_denied"' 'and cannot POST'

unlike "$(cat "$origin_log")" '^request POST' 'no POST reached the server'
run openshell logs clients --since 5m
like "$out" 'INFO \[TCP\] action=allow dst_host=api\.github\.com dst_port=443' 'the log knows the way they took'

# Big and awkward answers arrive whole.
cat >"$T/work/sizes.py" <<'PY'
import hashlib, http.client, ssl
c = http.client.HTTPSConnection("api.github.com")
for path in ("/bytes/0", "/bytes/1", "/bytes/65536", "/bytes/9000001", "/chunked/3000", "/zen"):
    c.request("GET", path)
    body = c.getresponse().read()
    print(path, len(body), hashlib.sha256(body).hexdigest()[:8])
PY
run inside clients "/usr/bin/python3 $T/work/sizes.py"
like "$out" '^/bytes/0 0 ' 'an empty answer'
like "$out" '^/bytes/9000001 9000001 ' 'nine megabytes'
like "$out" '^/chunked/3000 18000 ' 'three thousand chunks'
like "$out" '^/zen 39 ' 'and the connection is still good'

# HTTP/2 with nghttp2's own clients.
if command -v nghttp >/dev/null && command -v h2load >/dev/null; then
	run inside clients "nghttp $url/zen"
	like "$out" "^$zen" 'nghttp GETs'
	run inside clients "nghttp -v -H':method: POST' -d /dev/null $url/repos/octocat/hello-world/issues"
	like "$out" ':status: 403' 'and cannot POST'
	run inside clients "h2load -n 2000 -c 8 -m 20 $url/zen"
	like "$out" '2000 done, 2000 succeeded, 0 failed' 'h2load: two thousand requests in 160 streams at once'
	like "$out" '^status codes: 2000 2xx, 0 3xx, 0 4xx' 'all answered by the server'
	like "$out" '^Application protocol: h2' 'in HTTP/2'
else
	skip "nghttp2's clients" 'no nghttp and h2load here'
fi

run openshell sandbox delete clients
is "$status" 0 'delete'
done_testing
