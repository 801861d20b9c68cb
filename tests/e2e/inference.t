#!/bin/bash
# https://inference.local: the model of the operator's route, with a credential that the sandbox never sees.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
secret=sk-Th3RealKeyOfTheTest other=sk-ant-An0therKeyOfTheTest
work=$T/work log=$T/tmp/model.log tls_log=$T/tmp/model-tls.log
cp "$T_TOP/tests/support/model.py" "$work/model.py"
chmod a+r "$work/model.py"
start local /usr/bin/python3 "$work/model.py" "$log"
bedrock="bedrock-runtime.us-east-1.amazonaws.com"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=model -keyout "$work/key.pem" -out "$work/cert.pem" \
	-addext "subjectAltName=DNS:api.openai.com,DNS:api.anthropic.com,DNS:$bedrock,DNS:private.test" -addext basicConstraints=critical,CA:TRUE 2>/dev/null
chmod a+r "$work/key.pem" "$work/cert.pem"
start tls /usr/bin/python3 "$work/model.py" "$tls_log" "$work/cert.pem" "$work/key.pem"
T_ENV+=("OPENSHELL_UPSTREAM_CA=$work/cert.pem"
	"OPENSHELL_CONNECT_TO=api.openai.com:443:127.0.0.1:$tls api.anthropic.com:443:127.0.0.1:$tls $bedrock:443:127.0.0.1:$tls")
last() { tail -1 "$1"; }
count() { if [ -e "$1" ]; then grep -c . "$1"; else echo 0; fi; }
chat='{"model":"what the client wants","messages":[{"role":"user","content":"hi","model":"nested"}]}'
printf %s "$chat" >"$work/chat.json"
say() { printf '{"messages":[{"role":"user","content":"%s"}],"stream":true}' "$1"; }

# The commands.
run openshell inference get
one_line_error 'there is no inference route' 'without a route there is none to show'
like "$err" 'hint: openshell inference set' 'and what to do is said'
ok 'a provider of OpenAI' openshell provider create --name oa --type openai --credential "OPENAI_API_KEY=$secret"
ok 'one of Anthropic' openshell provider create --name an --type anthropic --credential "ANTHROPIC_API_KEY=$other"
ok 'one on this machine' openshell provider create --name ollama --type generic --credential KEY=none --config "base_url=http://127.0.0.1:$local/v1"
ok 'one of Bedrock' openshell provider create --name br --type aws-bedrock --credential AWS_ACCESS_KEY_ID=AKIAREALKEY --credential AWS_SECRET_ACCESS_KEY=real/secret+key --config region=us-east-1
run openshell provider get ollama
like "$out" "^Base URL: +http://127.0.0.1:$local/v1" 'its server is shown'
ok 'one of GitHub' openshell provider create --name gh --type github --credential GITHUB_TOKEN=x
run openshell inference set --provider nobody --model m
one_line_error "there is no provider 'nobody'" 'a route needs a provider'
run openshell inference set --provider gh --model m
one_line_error "of type 'github', which is not known to have models" 'that has models'
run openshell inference set --provider oa --model 'a b'
one_line_error 'printable characters' 'and a model with a name'
run openshell inference set --provider oa
is "$status" 2 'which has to be given'
run openshell inference set --provider oa --model m --system
is "$status" 2 'a route for nobody is refused by name'
run openshell inference set --provider br --model m
one_line_error '--no-verify is needed' 'Bedrock cannot be asked first'
run openshell provider create --name vx --type google-vertex-ai --credential X=y
like "$err" 'minted for an hour' 'Vertex is refused with the reason'
run openshell provider create --name b1 --type openai --credential OPENAI_API_KEY=x --config base_url=http://93.184.216.34/v1
one_line_error 'without TLS' 'a secret is not sent in clear to the internet'
run openshell provider create --name b1 --type openai --credential OPENAI_API_KEY=x --config base_url=http://169.254.169.254/v1
one_line_error 'no server is dialled' 'nor to what clouds tell their machines'
run openshell provider create --name b1 --type github --credential GITHUB_TOKEN=x --config base_url=http://127.0.0.1/v1
is "$status" 1 'other providers have no such server'

# Verification: from the host.
ok 'a provider whose key is refused' openshell provider create --name bad --type openai --credential OPENAI_API_KEY=refused-key
run openshell inference set --provider bad --model m
one_line_error 'refuses the credential \(401\)' 'the server is asked before'
unlike "$err" 'refused-key' 'and the key is not repeated'
run openshell inference get
is "$status" 1 'nothing was set'
ok 'which can be left out' openshell inference set --provider bad --model m --no-verify
is "$(stat -c %a "$T/config/openshell/inference.json")" 600 'the file is private'
unlike "$(cat "$T/config/openshell/inference.json")" 'refused-key' 'and holds no secret'
run openshell inference get -o json
is "$(jq -r '.provider + " " + .model + " " + (.timeout_s | tostring)' <<<"$out")" 'bad m 60' 'it is shown'
ok 'it is forgotten' openshell inference delete
run openshell inference delete
is "$status" 1 'once'

# Without a route.
ok 'a sandbox' sandbox infer
in_it() { openshell sandbox exec -n infer -- "$@"; }
post() { in_it curl -sS "$@" -H 'Content-Type: application/json'; }
run post -d "$chat" https://inference.local/v1/chat/completions
like "$(openshell logs infer -n 0)" 'deny .*dst_host=inference.local .*openshell inference set' 'without a route the log says what to do'
run post --noproxy '*' -d "$chat" https://inference.local/v1/chat/completions
like "$(jq -r .detail <<<"$out")" 'openshell inference set' 'and so does the answer'
is "$(count "$tls_log")" 1 'no server has heard of it but when it was verified (a control)'

# OpenAI, while the sandbox runs.
ok 'a route' openshell inference set --provider oa --model gpt-real
like "$(last "$tls_log")" '"GET", "path": "/v1/models".*Bearer '"$secret" 'its server was asked for its models'
run post -d "$chat" https://inference.local/v1/chat/completions
is "$(jq -r '.choices[0].message.content' <<<"$out")" hello 'a running sandbox reaches the model at once'
is "$(last "$tls_log" | jq -r .path)" /v1/chat/completions 'at its own path'
is "$(last "$tls_log" | jq -r .body)" "${chat/what the client wants/gpt-real}" 'the model is replaced, the rest of the body is as it was'
is "$(last "$tls_log" | jq -r .headers.authorization)" "Bearer $secret" 'the server sees the secret'
is "$(last "$tls_log" | jq -r .headers.host)" api.openai.com 'and its own name'
run post --noproxy '*' --http1.1 -d "$chat" https://inference.local/v1/chat/completions
is "$(jq -r '.choices[0].message.content' <<<"$out")" hello 'without proxy settings, over HTTP/1.1'
run post --http2 -o /dev/null -w '%{http_version} %{http_code}' -d "$chat" https://inference.local/v1/embeddings
is "$out" '2 200' 'over HTTP/2'
run in_it curl -sS 'https://inference.local/v1/models?limit=3&key=mine&beta=1'
is "$(last "$tls_log" | jq -r '.method + .path')" 'GET/v1/models?limit=3&beta=1' 'models are listed, and only known parameters pass'
if in_it node -e 'fetch' 2>/dev/null; then
	run in_it node -e 'fetch("https://inference.local/v1/responses", {method: "POST", body: JSON.stringify({input: "x", model: "y"})}).then(r => r.json()).then(j => console.log(j.choices[0].message.content))'
	is "$out" hello "Node's fetch"
	is "$(last "$tls_log" | jq -r .body)" '{"input":"x","model":"gpt-real"}' 'gets the model of the route as well'
else
	skip "Node's fetch" 'no node with fetch here'
fi
yes '{"x":"0123456789012345678901234567890123456789"},' | head -c 9000000 | sed '$s/.*/{}]}/' | { printf '{"model":"m","l":["'; tr -d '\n"{}:,[]' ; printf '"]}'; } >"$work/large.json"
run openshell sandbox exec -n infer -- sh -c 'curl -sS -o /dev/null -w "%{http_code}" -H Expect: --data-binary @- https://inference.local/v1/embeddings' <"$work/large.json"
is "$out" 200 'a body of megabytes'
is "$(last "$tls_log" | jq -r .body | jq -r '.model')" gpt-real 'gets it too'
run in_it sh -c 'head -c 10485761 /dev/zero | curl -sS -o /dev/null -w "%{http_code}" --data-binary @- https://inference.local/v1/embeddings'
is "$out" 413 'one above the limit is refused'
run in_it sh -c "printf '%s' '$chat' | curl -sS -o /dev/null -w '%{http_code}' -T - -X POST --http1.1 https://inference.local/v1/embeddings"
is "$out" 200 'chunks are taken together'
is "$(last "$tls_log" | jq -r '.headers["content-length"]')" $((${#chat} - 13)) 'and get a length'

# What a client brings along stays behind.
run post -d "$chat" -H 'Authorization: Bearer mine' -H 'x-api-key: mine' -H 'Cookie: a=mine' -b b=mine -H 'OpenAI-Organization: org' -H 'X-Model-Id: x' -H 'X-Other: mine' -H 'X-Forwarded-For: 1.2.3.4' https://inference.local/v1/chat/completions
unlike "$(last "$tls_log")" 'mine|x-forwarded-for' 'credentials, cookies and other fields do not pass'
is "$(last "$tls_log" | jq -r '.headers["openai-organization"] + .headers["x-model-id"]')" orgx 'those that are known do (a control)'
is "$(last "$tls_log" | jq -r '.headers | keys | join(" ")')" 'accept authorization content-length content-type host openai-organization user-agent x-model-id' 'and no others'
run post -d "$chat" -H 'Host: api.github.com' https://inference.local/v1/chat/completions
is "$(jq -r .error <<<"$out")" misdirected_request 'another host is not taken'
before=$(count "$tls_log")
for body in '{"model":"a","model":"b"}' '{"model":"a","Model":"b"}' '{"model":"a","mod\u0065l":"b"}' '[]' '{"model":' "$(printf '{"model":"\xff"}')"; do
	run post -o /dev/null -w '%{http_code}' -d "$body" https://inference.local/v1/chat/completions
	is "$out" 400 "no body that others may read in another way: $body"
done
refused() { # DESCRIPTION CURL-ARGUMENTS...
	local what=$1

	shift
	run post --path-as-is -o /dev/null -w '%{http_code}' "$@"
	is "$out" 403 "$what"
}
refused 'a path with dots is not recognised' -d "$chat" https://inference.local/v1/../v1/chat/completions
run post --path-as-is -o /dev/null -w '%{http_code}' -d "$chat" https://inference.local/v1/chat%2Fcompletions
is "$out" 400 'nor one with an encoded slash'
refused 'nor a doubled one' -d "$chat" https://inference.local/v1//chat/completions
refused 'nor an encoded letter' -d "$chat" https://inference.local/v1/chat/completion%73
refused 'nor one that leaves a prefix' https://inference.local/v1/models/../files
refused 'nor dots that are encoded' https://inference.local/v1/models/%2e%2e/files
refused 'nor other methods' -X DELETE https://inference.local/v1/models/m
refused 'nor other paths' -d "$chat" https://inference.local/v1/images/generations
run in_it curl -sS --noproxy '*' -o /dev/null -w '%{http_code}' -d "$chat" http://inference.local:443/v1/chat/completions
is "$out" 403 'nor one without TLS'
is "$(count "$tls_log")" "$before" 'none of these reached a server'
like "$(openshell logs infer -n 0)" 'l7_decision=deny dst_host=inference.local l7_action=DELETE .*is no request to a model' 'the log has them'
run post -d "$chat" https://inference.local/v1/messages
is "$(jq -r .error <<<"$out")" no_compatible_route 'what the provider does not understand is not sent'
run openshell sandbox exec -n infer -- python3 - <<'PY'
import socket, ssl
def open_it():
    c = ssl.create_default_context().wrap_socket(socket.create_connection(("inference.local", 443)), server_hostname="inference.local")
    c.settimeout(20)
    return c
def rest(c):
    out = b""
    try:
        while True:
            more = c.recv(65536)
            if not more:
                return out
            out += more
    except OSError:
        return out
good = b"GET /v1/models HTTP/1.1\r\nHost: inference.local\r\n\r\n"
last = good.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
c = open_it(); c.sendall(good + last); print("two", rest(c).count(b"HTTP/1.1 200"))
c = open_it(); c.sendall(good + b"GET /other HTTP/1.1\r\nHost: inference.local\r\n\r\n" + last)
out = rest(c); print("closed", out.count(b"HTTP/1.1 200"), out.count(b"HTTP/1.1 403"))
for name, head in ("both", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), ("odd", b"Transfer-Encoding: chunkedx\r\nContent-Length: 2\r\n"), ("two-lengths", b"Content-Length: 2\r\nContent-Length: 2\r\n"), ("word", b"Content-Length: abc\r\n"):
    c = open_it(); c.sendall(b"POST /v1/embeddings HTTP/1.1\r\nHost: inference.local\r\n" + head + b"\r\n{}" + last)
    out = rest(c); print(name, out.split(b" ")[1].decode(), out.count(b"HTTP/1.1 "))
c = open_it(); c.sendall(b"POST /v1/embeddings HTTP/1.1\r\nHost: inference.local\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\n{\r\n" + b"1\r\n \r\n" * 4096 + b"1\r\n}\r\n0\r\n\r\n")
print("chunks", rest(c).split(b" ")[1].decode())
c = open_it(); c.sendall(b"POST /v1/embeddings HTTP/1.1\r\nHost: inference.local\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\n{\r\n" + b"1\r\n \r\n" * 4094 + b"1\r\n}\r\n0\r\n\r\n")
print("fewer", rest(c).split(b" ")[1].decode())
PY
is "$out" 'two 2
closed 1 1
both 400 1
odd 400 1
two-lengths 400 1
word 400 1
chunks 413
fewer 200' 'connections are kept for what is recognised and closed after all else; framing is taken one way'

# Streams.
say stream >"$work/stream.json"
openshell sandbox exec -n infer -- curl -sSN -d "$(say stream)" https://inference.local/v1/chat/completions >"$T/tmp/stream" &
stream=$!
wait_line "$T/tmp/stream" '"n":1' >/dev/null
ok 'a new policy meanwhile' openshell policy set infer --policy "$T_EXAMPLES/sandbox-policy-quickstart/policy.yaml" --wait
unlike "$(cat "$T/tmp/stream")" '"n":2' 'the first event is here while the server waits'
curl -sS --cacert "$work/cert.pem" --connect-to "api.openai.com:443:127.0.0.1:$tls" -o /dev/null https://api.openai.com/release
wait $stream
like "$(cat "$T/tmp/stream")" 'DONE' 'and the others when they come; a new policy cuts none'
run post -N -d "$(say cut)" https://inference.local/v1/chat/completions
is "$status" 0 'a stream that breaks off ends in order'
like "$out" '^data: \{"error":\{"type":"proxy_stream_error","message":".*"\}\}$' 'with an event that says why'
run post -d "$(say length)" https://inference.local/v1/chat/completions
is "$out" 'data: {"n":1}' 'one that had a length goes in chunks'
run post -D - -o /dev/null -d "$chat" https://inference.local/v1/chat/completions
unlike "$out" '[Ss]et-[Cc]ookie' 'cookies of the server do not arrive'
run post -D - -d "$(say bad)" https://inference.local/v1/chat/completions
like "$out" 'HTTP/[12.]+ 401' 'a refused credential is a 401'
like "$out" 'upstream_unauthorized' 'of our own'
unlike "$out" "$secret" 'without what the server says of the key'
ok 'a route with less patience' openshell inference update --timeout 1
is "$(openshell inference get -o json | jq -r '.model + " " + (.timeout_s | tostring)')" 'gpt-real 1' 'the rest of it stays'
run post -o /dev/null -w '%{http_code}' -d "$(say mute)" https://inference.local/v1/chat/completions
is "$out" 503 'a server that does not answer in time is given up'
ok 'another timeout' openshell inference update --timeout 0

# Nowhere but at the server.
unlike "$(in_it env; in_it sh -c 'cat /proc/*/environ 2>/dev/null | tr "\0" "\n"')" "$secret" 'the environment inside holds no secret'
unlike "$(openshell logs infer -n 0; openshell logs infer -n 0 --format json; openshell logs infer -n 0 --format shorthand)" "$secret" 'nor does the log'
is "$(grep -rl "$secret" "$T/state" "$T/run" "$T/home" 2>/dev/null)" '' 'nor a file of the sandbox'
is "$(grep -rl "$secret" "$T/config")" "$T/config/openshell/providers/oa.json" 'it is in its own (a control for the search)'
like "$(openshell logs infer -n 0)" 'l7_decision=allow dst_host=inference.local l7_action=POST l7_target=/v1/chat/completions .*operation=chat_completion model=gpt-real provider=oa latency_ms=[0-9]+ status=200' 'a call is in the log'
like "$(openshell logs infer -n 0 --format shorthand)" 'API:INFERENCE \[INFO\] Success gpt-real via oa [0-9]+ms \[chat_completion\]' 'in the shorthand of its kind'
is "$(openshell logs infer -n 0 --format json | jq -r 'select(.class_uid == 6003) | .unmapped.model' | sort -u)" gpt-real 'and as API activity'

# Others, while it runs.
ok 'Anthropic' openshell inference set --provider an --model claude-real
run post -d '{"messages":[]}' -H 'anthropic-beta: tools' -H 'Authorization: Bearer mine' 'https://inference.local/v1/messages?beta=true'
is "$(last "$tls_log" | jq -r '.path + " " + .body + " " + .headers["x-api-key"] + " " + .headers["anthropic-version"] + " " + .headers["anthropic-beta"] + (.headers.authorization // "")')" \
	"/v1/messages?beta=true {\"model\":\"claude-real\",\"messages\":[]} $other 2023-06-01 tools" 'gets its own kind of key, version and model'
run post -d '{"messages":[]}' -H 'anthropic-version: 2024-01-01' https://inference.local/v1/messages
is "$(last "$tls_log" | jq -r '.headers["anthropic-version"]')" 2024-01-01 "a client's version wins"
unlike "$(last "$tls_log")" "$secret" 'and nothing of the provider before'
ok 'its key is replaced' openshell provider update an --credential ANTHROPIC_API_KEY=sk-ant-new
run post -d '{"messages":[]}' https://inference.local/v1/messages
is "$(last "$tls_log" | jq -r '.headers["x-api-key"]')" sk-ant-new 'and used at once'
run openshell provider delete an
one_line_error 'is the route of inference.local' 'what is in use is not deleted'
ok 'a server on this machine' openshell inference set --provider ollama --model qwen
run post -d "$chat" https://inference.local/v1/chat/completions
is "$(last "$log" | jq -r '.headers.host + " " + .headers.authorization')" "127.0.0.1:$local Bearer none" 'is the only one there that is reached'
run post -o /dev/null -w '%{http_connect}' -d "$chat" "https://127.0.0.1:$local/v1/models" -x "$(in_it printenv HTTPS_PROXY)" --noproxy ''
is "$out" 403 'it opens nothing else: the server itself is refused'
ok 'Bedrock' openshell inference set --provider br --model anthropic.claude-v2:1 --no-verify
run post -d "$chat" https://inference.local/model/some.model/invoke
is "$(last "$tls_log" | jq -r '.path')" /model/anthropic.claude-v2:1/invoke 'gets the model in its path'
is "$(last "$tls_log" | jq -r '.body')" "$chat" 'and the body as it was'
like "$(last "$tls_log" | jq -r '.headers.authorization')" '^AWS4-HMAC-SHA256 Credential=AKIAREALKEY/[0-9]+/us-east-1/bedrock/aws4_request' 'signed'
verify() { # SECRET
	last "$tls_log" | python3 -c '
import hashlib, hmac, json, re, sys, urllib.parse
r = json.load(sys.stdin)
h, secret = r["headers"], sys.argv[1]
m = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=[^/]+/(.*), SignedHeaders=(\S+), Signature=(\w+)", h["authorization"])
body = hashlib.sha256(r["body"].encode()).hexdigest()
canonical = "\n".join([r["method"], urllib.parse.quote(r["path"], safe="/-_.~"), ""] + ["%s:%s" % (n, h[n]) for n in m[2].split(";")] + ["", m[2], body])
key = ("AWS4" + secret).encode()
for part in m[1].split("/") + ["\n".join(["AWS4-HMAC-SHA256", h["x-amz-date"], m[1], hashlib.sha256(canonical.encode()).hexdigest()])]:
    key = hmac.new(key, part.encode(), hashlib.sha256).digest()
print("good" if key.hex() == m[3] else "bad")' "$1"
}
is "$(verify real/secret+key)" good 'with the key'
is "$(verify another)" bad 'and with no other (a control)'
ok 'a name in a private network' openshell provider create --name priv --type generic --credential KEY=x --config base_url=http://93-184-216-34.invalid/v1
ok 'as a route' openshell inference set --provider priv --model m --no-verify
run post -d "$chat" https://inference.local/v1/chat/completions
is "$(jq -r .error <<<"$out")" upstream_unreachable 'that cannot be found is said'

unlike "$(openshell rule get infer)" 'inference.local' 'nothing of this is proposed as a rule'

# It stays over a stop, and goes for all.
ok 'the first route' openshell inference set --provider oa --model gpt-two
ok 'a stop' openshell sandbox stop infer
ok 'and a start' openshell sandbox start infer
run post -d "$chat" https://inference.local/v1/chat/completions
is "$(last "$tls_log" | jq -r .body | jq -r .model)" gpt-two 'a sandbox that was started again has the route'
run openshell sandbox create -- curl -sS -o /dev/null -w '%{http_code}' -d "$chat" https://inference.local/v1/chat/completions
is "$out" 200 'and so has a new one'
cat >"$work/connect.py" <<'PY'
# An upstream proxy: LOG PORT. Whatever is asked for is at PORT.
import socket, sys, threading
def copy(a, b):
    try:
        while data := a.recv(65536):
            b.sendall(data)
        b.shutdown(socket.SHUT_WR)
    except OSError:
        pass
def serve(c):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += c.recv(1)
    with open(sys.argv[1], "a") as log:
        log.write(head.split(b"\r\n")[0].decode() + "\n")
    s = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
    c.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    threading.Thread(target=copy, args=(s, c), daemon=True).start()
    copy(c, s)
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
PY
chmod a+r "$work/connect.py"
start chain /usr/bin/python3 "$work/connect.py" "$T/tmp/chain.log" "$tls"
ok 'a server behind a corporate proxy' openshell provider create --name far --type openai --credential OPENAI_API_KEY=k --config OPENAI_BASE_URL=https://private.test/v1
ok 'as a route' openshell inference set --provider far --model m --no-verify
run openshell sandbox create --upstream-proxy "http://127.0.0.1:$chain" -- curl -sS -o /dev/null -w '%{http_code}' -d "$chat" https://inference.local/v1/chat/completions
is "$out" 200 'is reached through it'
is "$(cat "$T/tmp/chain.log")" 'CONNECT private.test:443 HTTP/1.1' 'which was asked for it'
ok 'the first route again' openshell inference set --provider oa --model gpt-two
cat >"$work/two.py" <<'PY'
import socket, ssl, sys
c = ssl.create_default_context().wrap_socket(socket.create_connection(("inference.local", 443)), server_hostname="inference.local")
c.settimeout(60)
for line in sys.stdin:
    c.sendall(b"GET /v1/models HTTP/1.1\r\nHost: inference.local\r\n\r\n")
    out = b""
    while b"}" not in out:
        out += c.recv(65536)
    print(out.split(b" ")[1].decode(), out.split(b'"')[3].decode() if b" 400 " in out else "", flush=True)
PY
mkfifo "$T/tmp/go"
openshell sandbox exec -n infer -- python3 -c "$(cat "$work/two.py")" <"$T/tmp/go" >"$T/tmp/two" &
two=$!
exec 9>"$T/tmp/go"
echo >&9
wait_line "$T/tmp/two" '^200' >/dev/null
ok 'it is taken away' openshell inference delete
echo >&9
exec 9>&-
wait $two
is "$(cat "$T/tmp/two")" '200 
400 no_inference_route' 'from a connection that is there too'
before=$(count "$tls_log")
run post --noproxy '*' -d "$chat" https://inference.local/v1/chat/completions
like "$(jq -r .detail <<<"$out")" 'openshell inference set' 'and closed at once'
is "$(count "$tls_log")" "$before" 'no server hears of it'
ok 'the sandbox goes' openshell sandbox delete infer
is "$(leftovers)" '' 'nothing is left running'
done_testing
