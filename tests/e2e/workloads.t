#!/bin/bash
# From evidence to policy with programs that people use: each is watched once, its policy is checked
# and enforced, it runs again, and what else its program or another one tries fails and is logged.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
T_TIMEOUT=90
log=$T/tmp/standin.log
cp "$T_TOP/tests/support/clients/standin.py" "$T/tmp/standin.py"
chmod 0644 "$T/tmp/standin.py"
names="users.test items.test zen.test git.test graph.test mcp.test evil.test"
user git init -q --bare "$T/tmp/repos/project.git"
user git -C "$T/tmp/repos/project.git" config http.receivepack true
user git clone -q "$T/tmp/repos/project.git" "$T/tmp/seed" 2>/dev/null
user sh -c "cd '$T/tmp/seed' && echo hello >file && git add file && git -c user.name=t -c user.email=t@t.test commit -qm one && git push -q origin HEAD:refs/heads/main &&
	git -C '$T/tmp/repos/project.git' symbolic-ref HEAD refs/heads/main"
# shellcheck disable=SC2086 # one word a name
start port /usr/bin/python3 "$T/tmp/standin.py" --ca "$T/tmp/standin-ca.pem" --log "$log" --repo "$T/tmp/repos" $names
pins=
for name in $names; do pins="$pins $name:443:127.0.0.1:$port"; done
T_ENV+=("OPENSHELL_CONNECT_TO=${pins# }" "OPENSHELL_UPSTREAM_CA=$T/tmp/standin-ca.pem")
cd "$T/work" || exit 1

# learned NAME COMMAND...: the loop up to the enforced run; leaves sandbox NAME and $policy.
learned() {
	local name=$1

	shift
	run openshell policy learn -o "$name.yaml" -- "$@"
	is "$status" 0 "$name: is watched"
	policy=$(cat "$name.yaml")
	run openshell policy check "$name.yaml"
	is "$status" 0 "$name: its policy is valid"
	unlike "$out$err" 'warning|error' "$name: without a word against it"
	like "$policy" '# [0-9]+ (request|uninspected connection)s? by [a-z].*, first 20[0-9-]+ [0-9:]+, last 20' "$name: each rule has its evidence"
	unlike "$policy" 'host: .*\*' "$name: no wildcard was invented"
	ok "$name: a sandbox with that policy" sandbox "$name" --policy "$name.yaml"
	run openshell sandbox exec -n "$name" -- "$@"
	is "$status" 0 "$name: runs again, enforced"
}

# refused NAME WHAT LOG-REGEX COMMAND...: fails, the server hears nothing, the log has it.
refused() {
	local name=$1 what=$2 line=$3 before

	shift 3
	before=$(cat "$log")
	run openshell sandbox exec -n "$name" -- "$@"
	isnt_zero "$name: $what fails"
	is "$(cat "$log")" "$before" "$name: and nothing arrives"
	run openshell logs "$name" --level warn --since 5m
	like "$out" "$line" "$name: and it is in the log"
}

isnt_zero() {
	if [ "$status" != 0 ]; then pass "$1"; else fail "$1"; t_context; fi
}

# ---- a Python script with three APIs

cat >apis.py <<'PY'
import json, sys, urllib.request as u

def ask(method, url, data=None):
    request = u.Request(url, method=method, data=data and json.dumps(data).encode(), headers={"Content-Type": "application/json"})
    print(method, url, u.urlopen(request).status)

if len(sys.argv) > 1:
    ask(sys.argv[1], sys.argv[2])
else:
    for user in (17, 18):
        ask("GET", "https://users.test/users/%d?token=secret" % user)
    ask("POST", "https://items.test/items", {"name": "secret"})
    ask("GET", "https://zen.test/zen")
PY
learned apis /usr/bin/python3 apis.py
like "$policy" '^              path: /users/\*$' 'apis: two ids became one rule'
like "$policy" '^              path: /items$' 'apis: another API'
like "$policy" "^ +- path: $(readlink -f /usr/bin/python3)\$" 'apis: for the program at its real path'
unlike "$policy" 'secret|\?' 'apis: no query and no body is in it'
refused apis 'another host' 'action=deny dst_host=evil\.test .*binary=' /usr/bin/python3 apis.py GET https://evil.test/users/17
refused apis 'another method' 'l7_decision=deny dst_host=users\.test l7_action=DELETE l7_target=/users/17 ' /usr/bin/python3 apis.py DELETE https://users.test/users/17
refused apis 'another path' 'l7_decision=deny dst_host=zen\.test l7_action=GET l7_target=/admin ' /usr/bin/python3 apis.py GET https://zen.test/admin
refused apis 'another program' 'action=deny dst_host=zen\.test .*binary=/usr/bin/curl .*not allowed' curl -sf https://zen.test/zen
run openshell policy coverage apis
like "$out" '^ +2 .*GET /users/\*' 'apis: coverage counts what was used'
like "$out" 'by /usr/bin/python3' 'apis: and by what'
openshell sandbox delete apis 2>/dev/null

# ---- git clone over HTTPS

learned clone sh -c 'rm -rf /tmp/c && git clone -q https://git.test/git/project.git /tmp/c && grep -q hello /tmp/c/file'
like "$policy" '^              path: /git/project\.git/git-upload-pack$' 'clone: reading is in the policy'
unlike "$policy" 'receive-pack|path: "?/?\*\*' 'clone: writing is not'
# A push begins with the same request as a clone but for its query, which is not part of the evidence.
run inside clone 'cd /tmp/c && echo stolen >file && git -c user.name=t -c user.email=t@t.test commit -qam two && git push -q origin HEAD:refs/heads/x'
isnt_zero 'clone: a push fails'
unlike "$(cat "$log")" 'POST .*receive-pack' 'clone: and nothing of it arrives'
run openshell logs clone --level warn --since 5m
like "$out" 'l7_decision=deny dst_host=git\.test l7_action=POST l7_target=/git/project\.git/git-receive-pack ' 'clone: and it is in the log'
refused clone 'another repository' 'l7_target=/git/other\.git/info/refs ' git ls-remote https://git.test/git/other.git
refused clone 'another host' 'action=deny dst_host=evil\.test ' git ls-remote https://evil.test/git/project.git
refused clone 'another program' 'binary=/usr/bin/curl .*not allowed' curl -sf 'https://git.test/git/project.git/info/refs'
openshell sandbox delete clone 2>/dev/null

# ---- a GraphQL client

if command -v node >/dev/null && node -e 'fetch' 2>/dev/null; then
	cat >graph.mjs <<'JS'
const [query, path] = [process.argv[2] ?? "query Viewer($login: String) { viewer { login } rate: rateLimit { cost } }", process.argv[3] ?? "/graphql"];
const r = await fetch("https://graph.test" + path, { method: "POST", headers: { "content-type": "application/json" },
	body: JSON.stringify({ query, variables: { login: "secret" } }) });
if (!r.ok) { console.error(r.status, await r.text()); process.exit(1); }
console.log(await r.json());
JS
	learned graph node graph.mjs
	like "$policy" '^        protocol: graphql$' 'graph: the endpoint speaks GraphQL'
	like "$policy" '^        path: /graphql$' 'graph: at its path'
	like "$policy" '^              operation_name: Viewer$' 'graph: the operation is named'
	like "$policy" '^                - rateLimit$' 'graph: with its root fields'
	unlike "$policy" 'secret|method: POST' 'graph: and nothing else'
	refused graph 'a mutation' 'l7_decision=deny dst_host=graph\.test .*operation=mutation\{deleteAll\} ' node graph.mjs 'mutation { deleteAll }'
	refused graph 'another field' 'l7_decision=deny dst_host=graph\.test .*operation="query Viewer\{keys,viewer\}"' node graph.mjs 'query Viewer { viewer { login } keys }'
	refused graph 'another path' 'l7_target=/upload ' node graph.mjs '{ viewer { login } }' /upload
	refused graph 'another program' 'binary=/usr/bin/curl .*not allowed' curl -sf https://graph.test/graphql
	openshell sandbox delete graph 2>/dev/null
else
	skip 'a GraphQL client' 'no node with fetch here'
fi

# ---- an MCP client

cat >mcp.py <<'PY'
import json, sys, urllib.request as u

def call(method, **params):
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    return u.urlopen(u.Request("https://mcp.test/mcp", data=body, headers=headers)).read()

call("initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo={"name": "c", "version": "1"})
call("tools/call", name=sys.argv[1], arguments={"q": "secret"})
u.urlopen(u.Request("https://mcp.test/mcp", headers={"Accept": "text/event-stream"})).read()
PY
learned mcp /usr/bin/python3 mcp.py search
like "$policy" '^        protocol: mcp$' 'mcp: the endpoint speaks MCP'
like "$policy" '^              tool: search$' 'mcp: one tool may be called'
before=$(grep -c . "$log")
run openshell sandbox exec -n mcp -- /usr/bin/python3 mcp.py delete_all
isnt_zero 'mcp: another tool fails'
is "$(grep -c . "$log")" "$((before + 1))" 'mcp: and only the initialize before it arrives'
run openshell logs mcp --level warn --since 5m
like "$out" 'operation="tools/call delete_all"' 'mcp: and it is in the log'
openshell sandbox delete mcp 2>/dev/null

# ---- npm ci from the registry that npm is configured for

npm_ready() {
	local host

	command -v npm >/dev/null || { why='no npm here'; return 1; }
	registry=$(user npm config get registry 2>/dev/null)
	host=${registry#https://} host=${host%%/*}
	case $registry in https://*) ;; *) why='the registry is not reached over https'; return 1 ;; esac
	case $host in *:*) registry_port=${host##*:} ;; *) registry_port=443 ;; esac
	registry_host=${host%%:*}
	registry_addr=$(getent ahostsv4 "$registry_host" | awk 'NR == 1 { print $1 }')
	[ -n "$registry_addr" ] || { why='the registry has no address here'; return 1; }
	mkdir -p project && echo '{ "name": "p", "version": "1.0.0", "dependencies": { "is-odd": "3.0.1" } }' >project/package.json
	chmod -R a+rwX project
	user env NODE_OPTIONS=--use-openssl-ca npm --prefix project install --package-lock-only --no-audit --no-fund --loglevel=error --fetch-retries 0 --fetch-timeout 15000 >"$T/tmp/npm.log" 2>&1 ||
		{ why='the registry cannot be reached'; return 1; }
}
if npm_ready; then
	# The registry may have a private address, which audit opens to nobody but the operator.
	T_ENV+=("OPENSHELL_CONNECT_TO=${pins# } $registry_host:$registry_port:$registry_addr:$registry_port" "npm_config_registry=$registry")
	ci=(env "npm_config_registry=$registry" sh -c 'rm -rf node_modules; cd project && npm ci --no-audit --no-fund --loglevel=error && node -e "require(\"is-odd\")(3) || process.exit(1)"')
	learned npm "${ci[@]}"
	like "$policy" "^      - host: ${registry_host//./\\.}\$" 'npm: the registry is in the policy'
	like "$policy" 'path: .*/is-odd/-/is-odd-3\.0\.1\.tgz$' 'npm: with the tarball that the lock names'
	unlike "$policy" 'method: P(OST|UT)|access: full' 'npm: nothing is uploaded'
	refused npm 'another package' "l7_decision=deny dst_host=${registry_host//./\\.} l7_action=GET l7_target=.*/left-pad" \
		env "npm_config_registry=$registry" npm view left-pad version --fetch-retries 0 --loglevel=silent
	refused npm 'another host' 'action=deny dst_host=evil\.test ' node -e 'fetch("https://evil.test/").then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))'
	refused npm 'another method' 'l7_action=PUT ' node -e "fetch('${registry%/}/is-odd', { method: 'PUT', body: 'x' }).then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))"
	refused npm 'another program' 'binary=/usr/bin/curl .*not allowed' curl -sf "$registry"
	openshell sandbox delete npm 2>/dev/null
else
	skip 'npm ci' "$why"
fi

done_testing
