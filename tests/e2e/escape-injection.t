#!/bin/bash
# Text from the workload and from servers that would be more than text (threats.md 41, 42): escape
# sequences, line ends and bidirectional overrides in hosts, paths, headers and names of programs; secrets
# in requests. What reaches the log, a terminal or a proposal is escaped, one line, and without secrets;
# what a person approves is exactly what was shown.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
start_origin
python=$(readlink -f /usr/bin/python3)
policy_for "$python" /usr/bin/curl >"$T/work/policy.yaml"
ok 'a sandbox' sandbox inject --policy "$T/work/policy.yaml"
cat >"$T/work/inject.py" <<'PY'
import http.client, os, socket, ssl, urllib.parse
proxy = urllib.parse.urlparse(os.environ["https_proxy"])
nasty = ["evil\x1b[2J\x1b]52;c;aGk=\x07", "evil\r\nX: y", "evil\u202egnp", "a<b>c", "evil\x9b31m", "sp ace", "q\"uote"]

def send(data):
    s = socket.create_connection((proxy.hostname, proxy.port), 5)
    s.settimeout(3)
    s.sendall(data)
    try:
        s.recv(4096)
    except OSError:
        pass
    s.close()

for n in nasty:
    b = n.encode()
    send(b"CONNECT " + b + b".test:443 HTTP/1.1\r\nHost: x\r\n\r\n")
    send(b"GET http://plain.test/" + b + b" HTTP/1.1\r\nHost: plain.test\r\nUser-Agent: " + b + b"\r\n\r\n")
    try:
        socket.getaddrinfo(n.replace("\r\n", "") + ".test", 80)
    except (OSError, UnicodeError):
        pass

c = http.client.HTTPSConnection("api.github.com", timeout=10)
def ask(method, path, headers={}):
    try:
        c.request(method, path, headers=headers)
        r = c.getresponse(); r.read()
        print(r.status)
    except Exception as e:
        c.close(); print(type(e).__name__)
ask("GET", "/zen?token=sekrit-in-query&a=b", {"Authorization": "Bearer sekrit-in-header", "Cookie": "sid=sekrit-in-cookie", "X-Api-Key": "sekrit-in-key"})
ask("DELETE", "/plain", {"Authorization": "Bearer sekrit-in-header"})
ask("DELETE", "/%1b%5b2J%0d%0aWARN", {"Authorization": "Bearer sekrit-in-header"})
PY
chmod 0644 "$T/work/inject.py"
run openshell sandbox exec -n inject -- "$python" "$T/work/inject.py"
is "$out" $'200\n403\n400' 'control: one request is allowed, one not, one cannot be understood'
# Programs whose names are not nice.
for name in $'esc\e[31m' $'two\nlines' $'bidi\u202eexe' 'sp ace' '<b>'; do
	openshell sandbox exec -n inject -- sh -c 'cp /usr/bin/curl "/tmp/$1"; "/tmp/$1" -s -m 5 --noproxy "*" https://named.test:7000/' - "$name" >/dev/null 2>&1
done

raw=$(cat "$T"/state/openshell/sandboxes/inject/log/*)
like "$raw" 'plain\.test|evil' 'control: the attempts are in the log'
nasty=$'[\e\a\r]|\xc2\x9b|\xe2\x80\xae'
for view in raw text shorthand json; do
	case $view in
	raw) out=$raw ;;
	*) run openshell logs inject --since 5m -n 0 --format $view ;;
	esac
	is "$(LC_ALL=C grep -cP "$nasty" <<<"$out")" 0 "$view: no control byte, no override"
	unlike "$out" '^(X: y|lines|WARN$)' "$view: no line begins in the middle"
	unlike "$out" 'sekrit-in-(header|cookie|key)' "$view: no secret of a header"
	unlike "$out" 'sekrit-in-query' "$view: nor of a query"
done
run openshell logs inject --since 5m -n 0 --format json
ok 'each line of JSON is one' jq -es 'length > 5' <<<"$out"
run openshell logs inject --since 5m -n 0
like "$out" 'l7_decision=deny .*l7_action=DELETE' 'the denied request is there'
like "$out" 'binary=/tmp/two\\x0alines ' 'and the program with a line end in its name, escaped'

# 42: proposals. Everything shown is escaped; an approval is of that one identifier.
run inside inject 'curl -s -m 5 --noproxy "*" http://169.254.169.254/latest http://127.0.0.1:1/ http://metadata.test:81/'
for i in $(seq 60); do echo "curl -s -m $((2 * T_SLOW)) --noproxy '*' http://flood$i.test:81/ &"; done >"$T/work/flood.sh"
run inside inject ". $T/work/flood.sh; wait"
run openshell rule get inject
is "$(LC_ALL=C grep -cP "$nasty" <<<"$out")" 0 'proposals: no control byte, no override'
like "$out" 'metadata\.test:81' 'control: a destination that may be proposed is'
unlike "$out" '169\.254\.169\.254|127\.0\.0\.1' 'a metadata service or loopback never is'
run openshell rule get inject -o json
before=$(jq length <<<"$out")
id=$(jq -r '.[] | select(.host == "metadata.test") | .id' <<<"$out")
run inside inject 'curl -s -m 5 --noproxy "*" http://another.test:81/'
run openshell rule approve inject "$id"
is "$status" 0 'one is approved, while others arrive'
run openshell policy get inject
like "$out" 'host: metadata\.test' 'that one is allowed'
unlike "$out" 'another\.test|flood[0-9]' 'and no other'
ok 'the others still wait' test "$before" -ge 60
# There is no prompt that a program could imitate: nothing is ever asked on the sandbox's terminal.
run inside inject 'printf "openshell: allow evil.test:443? [y/N] "; read -r answer </dev/null; curl -s -o /dev/null -m 3 -w "%{http_code}" https://evil.test/'
unlike "$out" '200$' 'a question that the program prints decides nothing'
run openshell sandbox delete inject
is "$(leftovers)" '' 'nothing is left'
done_testing
