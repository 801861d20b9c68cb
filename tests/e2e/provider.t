#!/bin/bash
# Secrets that a sandbox can use and never sees: placeholders inside, the real thing at the server.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
start_origin --name api.github.com --name other.test --name raw.test
T_ENV+=("OPENSHELL_CONNECT_TO=api.github.com:443:127.0.0.1:$origin other.test:443:127.0.0.1:$origin raw.test:443:127.0.0.1:$origin")
secret=ghp_S3cr3tValueOfTheTest second=ghp_An0therValueOfTheTest
curl=$(readlink -f "$(command -v curl)")
cat >"$T/work/policy.yaml" <<END
version: 1
network_policies:
  gh:
    endpoints:
      - { host: api.github.com, port: 443, protocol: rest, enforcement: enforce, access: full }
      - { host: api.github.com, port: 443, path: /bodies/**, protocol: rest, enforcement: enforce, access: full, request_body_credential_rewrite: true }
      - { host: other.test, port: 443, protocol: rest, enforcement: enforce, access: full }
    binaries: [{ path: "$curl" }]
END

T_ENV+=("GITHUB_TOKEN=$secret")
ok 'a provider takes its secret from the environment' openshell provider create --name gh --type github --from-existing
T_ENV=("${T_ENV[@]/GITHUB_TOKEN=*/GITHUB_TOKEN=}")
is "$(stat -c %a "$T/config/openshell/providers/gh.json")" 600 'the file is private'
run openshell provider get gh -o json
is "$(jq -r '.credential_keys[0]' <<<"$out")" GITHUB_TOKEN 'it is shown by name'
unlike "$out$(openshell provider list -o yaml)" "$secret" 'never in full'
run openshell provider create --name gh --type github --credential X=y
is "$status" 1 'a name is taken once'
run openshell provider create --name bad --type github --credential "GITHUB_TOKEN=a
b"
one_line_error 'control character' 'a secret with a line break is refused'
run openshell provider create --name bad --type nonsense --credential X=y
one_line_error "no provider type 'nonsense'" 'as is an unknown type'
is "$(openshell provider list --names)" gh 'its name alone'
is "$(openshell provider list --names --offset 1)$(openshell provider list --names --limit 0)" '' 'a part of the list'
run openshell provider list-profiles
like "$out" '^github ' 'types are listed'
run openshell sandbox create --provider nobody -- true
is "$status" 125 'an unknown provider does not start'

ok 'a sandbox with the provider' sandbox cred --policy "$T/work/policy.yaml" --provider gh
in_it() { openshell sandbox exec -n cred -- "$@"; }
sh_it() { in_it bash -c "$1"; }
run in_it env
like "$out" '^GITHUB_TOKEN=openshell:resolve:env:GITHUB_TOKEN$' 'inside there is a placeholder'
unlike "$out" "$secret" 'and no secret'

run sh_it 'curl -sS -H "Authorization: Bearer $GITHUB_TOKEN" https://api.github.com/echo'
like "$out" "^[Aa]uthorization: Bearer $secret" 'the server sees the secret after a scheme'
run sh_it 'curl -sS -H "X-Api-Key: $GITHUB_TOKEN" https://api.github.com/echo'
like "$out" "^[Xx]-[Aa]pi-[Kk]ey: $secret" 'and as a whole value'
run sh_it 'curl -sS -u "me:$GITHUB_TOKEN" https://api.github.com/echo'
is "$(sed -n 's/^[Aa]uthorization: Basic \([A-Za-z0-9+\/=]*\).*/\1/p' <<<"$out" | base64 -d)" "me:$secret" 'and within Basic'
run sh_it 'curl -sS --noproxy "*" -H "Authorization: token $GITHUB_TOKEN" https://api.github.com/echo'
like "$out" "^[Aa]uthorization: token $secret" 'without proxy settings too'
run sh_it 'curl -sS --http1.1 -H "Authorization: Bearer $GITHUB_TOKEN" https://api.github.com/echo'
like "$out" "uthorization: Bearer $secret" 'and over HTTP/1.1, while those before spoke HTTP/2'
run sh_it 'curl -sS -H "Authorization: Bearer x-OPENSHELL-RESOLVE-ENV-GITHUB_TOKEN" https://api.github.com/echo'
like "$out" "^[Aa]uthorization: Bearer $secret" 'the form for tools that look at the shape works'
in_it curl -sS "https://api.github.com/bot'openshell:resolve:env:GITHUB_TOKEN" >/dev/null
run sh_it 'curl -sS "https://api.github.com/bot$GITHUB_TOKEN/send?key=$GITHUB_TOKEN&a=1"'
like "$(cat "$origin_log")" "request GET /bot$secret/send\?key=$secret&a=1 " 'path and query are filled in'
run sh_it 'curl -sS -H "Content-Type: application/json" -d "{\"t\":\"$GITHUB_TOKEN\"}" https://api.github.com/bodies/x'
like "$(cat "$origin_log")" "request POST /bodies/x .*body=$((${#secret} + 8))\$" 'and a body where the policy says so, with its new length'

before=$(grep -c '^request' "$origin_log")
run sh_it 'curl -sS -d "t=$GITHUB_TOKEN" https://api.github.com/other'
is "$(jq -r .error <<<"$out")" credential_unavailable 'another body with a placeholder is refused'
run sh_it 'head -c 300000 /dev/zero | tr "\0" x >/tmp/big; printf %s "$GITHUB_TOKEN" >>/tmp/big; curl -sS -H Expect: -T /tmp/big https://api.github.com/other'
unlike "$out" '^201' 'also behind 300 KB'
run sh_it 'curl -sS -H "Authorization: Bearer $GITHUB_TOKEN" https://other.test/echo'
is "$(jq -r .error <<<"$out")" credential_endpoint_mismatch 'another server gets nothing'
run sh_it 'curl -sS -H "Authorization: Bearer openshell:resolve:env:NOBODY" https://api.github.com/echo'
is "$(jq -r .error <<<"$out")" credential_unavailable 'a key that nobody has is refused'
run sh_it 'curl -sS -b "s=$GITHUB_TOKEN" https://api.github.com/echo'
is "$(jq -r .error <<<"$out")" credential_unavailable 'as is a place where nothing is replaced'
run sh_it 'curl -sS "https://api.github.com/zen?a=openshell%3Aresolve%3Aenv%3ANOBODY"'
is "$(jq -r .error <<<"$out")" credential_unavailable 'however it is spelt'
run sh_it 'curl -sS --noproxy "*" -H "Authorization: Bearer $GITHUB_TOKEN" http://api.github.com:443/echo'
is "$(jq -r .error <<<"$out")" credential_endpoint_mismatch 'and a secret is not sent in clear text'
is "$(grep -c '^request' "$origin_log")" "$before" 'none of these reached a server'
run sh_it 'curl -sS https://other.test/zen'
like "$out" 'Anything added' 'which can be reached without secrets'

# Nowhere but in the provider's file.
like "$(openshell logs cred -n 0)" 'credentials used: GITHUB_TOKEN' 'the log says that it was used'
like "$(openshell logs cred -n 0)" 'not authorized for this request endpoint' 'and where it was not'
unlike "$(openshell logs cred -n 0; openshell logs cred -n 0 --format json)" "$secret" 'without the secret'
is "$(grep -rl "$secret" "$T/state" "$T/run" "$T/home" "$T/work" 2>/dev/null)" '' 'it is in no file of the sandbox'
is "$(grep -rl "$secret" "$T/config")" "$T/config/openshell/providers/gh.json" 'but in its own (a control for the search)'
proxy=$(descendant openshell-proxy)
not_ok "the proxy's memory is closed to the user" as_user head -c 1 "/proc/$proxy/mem"
not_ok 'and its environment' as_user cat "/proc/$proxy/environ"
ok 'as a process of the same user is not (a control)' as_user cat "/proc/$(as_user sh -c 'exec sleep 60 >/dev/null & echo $!')/environ"

# Endpoints that are not inspected.
run openshell policy update cred --remove-endpoint api.github.com:443 --wait
run openshell policy update cred --add-endpoint api.github.com:443 --binary "$curl" --rule-name l4 --wait
run sh_it 'curl -sS -H "Authorization: Bearer $GITHUB_TOKEN" https://api.github.com/echo'
like "$out" "^[Aa]uthorization: Bearer $secret" 'an endpoint without protocol is looked into for placeholders'
sed 's/protocol: rest, enforcement: enforce, access: full/tls: skip/; /bodies/d' "$T/work/policy.yaml" >"$T/work/skip.yaml"
ok 'a policy that skips TLS' openshell policy set cred --policy "$T/work/skip.yaml" --wait
run sh_it 'curl -sS -p https://api.github.com/echo 2>&1; curl -sSk -x "$HTTPS_PROXY" -o /dev/null -w "%{http_connect}" https://api.github.com/echo'
like "$out$err" '403' 'is refused for a server that a secret is for'
like "$(openshell logs cred -n 0)" 'belongs to a credential provider' 'and the log says why'
ok 'the policy again' openshell policy set cred --policy "$T/work/policy.yaml" --wait

# While it runs.
ok 'the secret is replaced' openshell provider update gh --credential "GITHUB_TOKEN=$second"
run sh_it 'curl -sS -H "X-Api-Key: $GITHUB_TOKEN" https://api.github.com/echo'
like "$out" "^[Xx]-[Aa]pi-[Kk]ey: $second" 'and used at once'
run openshell provider delete gh
is "$status" 1 'what is attached is not deleted'
ok 'it is detached' openshell sandbox provider detach cred gh
run in_it curl -sS -H 'X-Api-Key: openshell:resolve:env:GITHUB_TOKEN' https://api.github.com/echo
is "$(jq -r .error <<<"$out")" credential_unavailable 'and gone at once'
unlike "$(in_it env)" '^GITHUB_TOKEN=' 'from new commands too'
ok 'a stop and a start' openshell sandbox stop cred
ok 'start' openshell sandbox start cred
ok 'it is attached' openshell sandbox provider attach cred gh
is "$(openshell sandbox provider list cred -o json | jq -r '.[].name')" gh 'and listed'
run sh_it 'curl -sS -H "X-Api-Key: $GITHUB_TOKEN" https://api.github.com/echo'
like "$out" "^[Xx]-[Aa]pi-[Kk]ey: $second" 'and of use'

# WebSocket: the stand-in echoes frames as they came, masked, so that the client can see what it was sent.
python=$(readlink -f /usr/bin/python3)
cat >"$T/work/ws.py" <<'END'
import os, socket, ssl, struct, sys
s = ssl.create_default_context().wrap_socket(socket.create_connection(("api.github.com", 443)), server_hostname="api.github.com")
s.sendall(b"GET /ws HTTP/1.1\r\nHost: api.github.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
          b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
head = b""
while not head.endswith(b"\r\n\r\n"):
    head += s.recv(1)
text = sys.argv[1].encode()
mask = os.urandom(4)
s.sendall(struct.pack("!BB", 0x81, 0x80 | len(text)) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(text)))
def take(n):
    out = b""
    while len(out) < n:
        more = s.recv(n - len(out))
        if not more:
            sys.exit("closed")
        out += more
    return out
op, n = take(2)
if op & 15 == 8:
    sys.exit("close %d" % struct.unpack("!H", take(2))[0])
mask = take(4)
print(bytes(b ^ mask[i % 4] for i, b in enumerate(take(n & 127))).decode())
END
cat >"$T/work/ws.yaml" <<END
version: 1
network_policies:
  ws:
    endpoints:
      - { host: api.github.com, port: 443, path: /ws, protocol: websocket, enforcement: enforce, access: read-write, websocket_credential_rewrite: true }
    binaries: [{ path: "$python" }]
END
ok 'a policy for WebSocket' openshell policy set cred --policy "$T/work/ws.yaml" --wait
run in_it "$python" "$T/work/ws.py" '{"t":"openshell:resolve:env:GITHUB_TOKEN"}'
is "$out" "{\"t\":\"$second\"}" 'a message is filled in where the policy says so'
run in_it "$python" "$T/work/ws.py" '{"t":"openshell:resolve:env:NOBODY"}'
like "$err" 'close 1008' 'and the connection ends over a key that nobody has'

ok 'the first policy' openshell policy set cred --policy "$T/work/policy.yaml" --wait

# A binding by the policy's own word.
ok 'a provider without endpoints' openshell provider create --name mine --type generic --credential MINE=my-own-secret
ok 'attached' openshell sandbox provider attach cred mine
run in_it curl -sS -H 'X-Api-Key: openshell:resolve:env:MINE' https://other.test/echo
is "$(jq -r .error <<<"$out")" credential_endpoint_mismatch 'is for nobody'
sed 's/host: other.test.*access: full/&, credential_binding: { provider: mine }/' "$T/work/policy.yaml" >"$T/work/bound.yaml"
ok 'until the policy says so' openshell policy set cred --policy "$T/work/bound.yaml" --wait
run in_it curl -sS -H 'X-Api-Key: openshell:resolve:env:MINE' https://other.test/echo
like "$out" '^[Xx]-[Aa]pi-[Kk]ey: my-own-secret' 'then it is sent there'

# Put together with its secrets a request has 512 KiB at most: more is refused, whole.
sed 's/credential_binding/request_body_credential_rewrite: true, &/' "$T/work/bound.yaml" >"$T/work/bodies.yaml"
ok 'a policy by which bodies are filled in' openshell policy set cred --policy "$T/work/bodies.yaml" --wait
openshell provider update mine --credential "MINE=$(printf 'x%.0s' $(seq 4000))" >/dev/null
much() { sh_it "for i in \$(seq $1); do printf 'openshell:resolve:env:MINE '; done | curl -sS --data-binary @- -H 'Content-Type: text/plain' https://other.test/much$1"; }
run much 100
like "$(cat "$origin_log")" "request POST /much100 .*body=$((100 * 4001))\$" 'a hundred long secrets are filled in'
run much 150
like "$out" 'too large with the credentials in it' 'with half as many again the request is refused'
unlike "$(cat "$origin_log")" 'request POST /much150' 'and nothing of it is sent'
like "$(openshell logs cred -n 0)" 'decision=deny .*too large with the credentials in it' 'the log says why'
run openshell provider create --name twice --type generic --credential GITHUB_TOKEN=x
run openshell sandbox provider attach cred twice
one_line_error 'both have a GITHUB_TOKEN' 'two secrets of one name are refused'
ok 'delete' openshell sandbox delete cred
is "$(leftovers | grep -v 'sleep 60')" '' 'nothing is left'
# An agent's own provider: attached where there is one, made where that is wanted, and never without a word.
user sh -c 'mkdir -p "$HOME/.local/bin" && printf "#!/bin/sh\necho key=\$ANTHROPIC_API_KEY\n" >"$HOME/.local/bin/claude" && chmod 0755 "$HOME/.local/bin/claude"'
drive() { run user_fg "$T_SUPPORT/ptydrive" "$@"; }
before=$(openshell provider list --names)
key=sk-ant-S3cr3tOfTheTest
T_ENV+=("ANTHROPIC_API_KEY=$key")
run openshell sandbox create -- claude
is "$out" key= 'a variable of the caller stays outside'
like "$err" '^openshell: ANTHROPIC_API_KEY is not given .*--auto-providers' 'and what would give it is said'
run openshell sandbox create --no-auto-providers -- claude
unlike "$err" ANTHROPIC_API_KEY 'but not to who wants none'
drive -t 20 -e 'without seeing it.*claude-code.*\[Y/n\]' -s 'n\n' -e 'key=' -- openshell sandbox create -- claude
is "$(openshell provider list --names)" "$before" 'a terminal is asked: no'
drive -t 20 -e '\[Y/n\]' -s '\x03' -- openshell sandbox create -- claude
is "$(openshell provider list --names)" "$before" 'and can be left'
drive -t 20 -e '\[Y/n\]' -s '\n' -e 'key=openshell:resolve' -- openshell sandbox create -- claude
is "$status" 0 'Enter is yes, and the agent has a placeholder'
is "$(jq -r .credentials.ANTHROPIC_API_KEY "$T/config/openshell/providers/claude-code.json")" "$key" 'the provider has the secret'
ok 'which is deleted' openshell provider delete claude-code
ok 'a provider of its name but of another type' openshell provider create --name claude-code --type generic --credential OTHER=x
run openshell sandbox create --auto-providers -- claude
like "$out" '^key=openshell:resolve' '--auto-providers does not ask'
like "$err" '^openshell: provider claude-code-2: ' 'and finds another name'
T_ENV=("${T_ENV[@]/ANTHROPIC_API_KEY=*/ANTHROPIC_API_KEY=}")
run openshell sandbox create -- claude
like "$out" '^key=openshell:resolve' 'from then on it is attached'
unlike "$out$err" "$key" 'and never seen'
run openshell sandbox create --no-auto-providers -- claude
is "$out" key= 'unless that is not wanted'
run openshell sandbox create --no-credential-warnings --env ANTHROPIC_API_KEY=mine -- claude
is "$out" key=mine 'or the caller has set the variable'
ok 'both are deleted' openshell provider delete claude-code claude-code-2
run openshell sandbox create --auto-providers -- claude
like "$err" "none of the variables of type 'claude-code' is set" 'nothing to make one of'
is "$status:$out" 0:key= 'which stops nothing'

done_testing
