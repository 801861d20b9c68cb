#!/bin/bash
# Clients and servers that agents bring along, from npm, through an inspected endpoint: gRPC (HTTP/2 on both
# sides), WebSocket (ws) and the Model Context Protocol's SDK. What the policy allows works to the last
# trailer; what it does not never reaches the server.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
for tool in node npm openssl; do
	command -v "$tool" >/dev/null || skip_all "no $tool here"
done
source=$T_TOP/tests/support/clients/npm
cache=$T_TOP/build/npm
if ! cmp -s "$source/package.json" "$cache/package.json" || ! [ -e "$cache/complete" ]; then
	rm -rf "$cache"
	mkdir -p "$cache"
	cp "$source/package.json" "$cache/"
	(cd "$cache" && timeout 100 npm install --no-audit --no-fund --no-package-lock --ignore-scripts --loglevel=error) >"$T/npm.out" 2>&1 ||
		skip_all "the packages cannot be installed: $(grep -m1 -E 'code|network|ERR' "$T/npm.out")"
	touch "$cache/complete"
fi
W=$T/work
cp -r "$cache/node_modules" "$source"/* "$W/"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$T/tmp/key" -out "$W/cert" -days 2 -subj /CN=npm.test \
	-addext subjectAltName=DNS:grpc.test,DNS:ws.test,DNS:wsro.test,DNS:mcp.test,DNS:plain.test 2>/dev/null
chmod -R a+rX "$W"
[ "$(id -u)" != 0 ] || chown -R "$T_UID" "$W" "$T/tmp"
asked=$T/tmp/asked
node=$(readlink -f "$(command -v node)")
start ports "$node" "$W/servers.js" "$T/tmp/key" "$W/cert" "$asked"
grpc=${ports% *} web=${ports#* }
T_ENV+=("OPENSHELL_UPSTREAM_CA=$W/cert"
	"OPENSHELL_CONNECT_TO=grpc.test:443:127.0.0.1:$grpc ws.test:443:127.0.0.1:$web wsro.test:443:127.0.0.1:$web mcp.test:443:127.0.0.1:$web plain.test:443:127.0.0.1:$web")
{
	cat <<-EOS
		version: 1
		network_policies:
		  npm:
		    endpoints:
		      - host: grpc.test
		        port: 443
		        protocol: rest
		        enforcement: enforce
		        rules:
	EOS
	for method in Unary Gather Scatter Both Fail Never; do
		echo "          - allow: { method: POST, path: /echo.Echo/$method }"
	done
	cat <<-EOS
		      - host: ws.test
		        port: 443
		        protocol: websocket
		        enforcement: enforce
		        rules:
		          - allow: { method: GET, path: /chat }
		          - allow: { method: WEBSOCKET_TEXT, path: /chat }
		      - { host: wsro.test, port: 443, protocol: websocket, enforcement: enforce, access: read-only }
		      - host: mcp.test
		        port: 443
		        protocol: mcp
		        enforcement: enforce
		        rules:
		          - allow: { method: initialize }
		          - allow: { method: notifications/initialized }
		          - allow: { method: tools/list }
		          - allow: { method: tools/call, tool: search }
		      - { host: plain.test, port: 443 }
		    binaries: [ { path: $node } ]
	EOS
} >"$W/policy.yaml"
ok 'a sandbox' sandbox npm --policy "$W/policy.yaml"
client() {
	run openshell sandbox exec -n npm -- "$node" "$W/client.js" "$1"
	[ "$status" = 0 ] || diag "$err"
}

# Node has roots of its own, so where nobody inspects it must be told of the corporate one.
run openshell sandbox exec -n npm -- "$node" -e 'require("https").get("https://plain.test/", (r) => { console.log("status", r.statusCode); process.exit() })'
like "$out" '^status [0-9]+$' "Node trusts what --upstream-ca adds, at an endpoint that is only relayed"

client grpc
like "$out" '^Unary HELLO yes$' 'gRPC: one question, one answer, with trailers'
like "$out" '^Unary X+END yes$' 'gRPC: 300 kB both ways'
like "$out" '^Fail FAILED_PRECONDITION as asked' "gRPC: a status of the server's arrives"
like "$out" '^Gather abc$' 'gRPC: a stream from the client'
like "$out" '^Scatter x,y,z$' 'gRPC: a stream from the server'
like "$out" '^Both ONE,TWO$' 'gRPC: both ways at once'
like "$out" '^Never DEADLINE_EXCEEDED' 'gRPC: a deadline passes'
ok 'and the server is told' wait_line "$asked" '^grpc Never cancelled'
like "$out" '^Denied PERMISSION_DENIED' 'gRPC: a method that no rule allows is refused'
not_ok 'and did not reach the server' grep -q '^grpc Denied' "$asked"
ok 'control: those allowed did' grep -q '^grpc Unary me' "$asked"

client ws
like "$out" '^ws.test text hello$' 'ws: text'
like "$out" '^ws.test text in three parts$' 'ws: fragments'
like "$out" '^ws.test text 55000$' 'ws: 55 kB; its wish for a context is not passed on'
like "$(sed -n '/^ws text 28000/q; p' "$asked")" '^ws open permessage-deflate' 'ws: compression without a context is agreed upon'
like "$out" '^ws.test text 28000$' 'and compressed text comes back'
like "$out" '^ws.test binary 200000$' 'ws: binary'
like "$(cat "$asked")" '^ws closed 4001' "ws: the client's close code arrives"
like "$out" '^ws.test closed 4002 server ends$' "ws: the server's does"
like "$out" '^ws.test text plain$' 'ws: without compression'
like "$out" '^wsro.test closed 1008' 'ws: a message that no rule allows closes with 1008'
unlike "$(cat "$asked")" 'secret' 'and did not reach the server'
like "$out" '^nowhere.test error .*403' 'ws: a host that no policy names is 403'

client mcp
like "$out" '^tools search,delete$' 'MCP: tools are listed'
like "$out" '^search search done$' 'MCP: an allowed tool is called'
like "$out" '^delete refused .*403|^delete refused .*policy' 'MCP: another is not'
not_ok 'and did not reach the server' grep -q '^mcp delete' "$asked"
like "$out" '^receive stream pushed$' 'MCP: what the server sends unasked arrives'

run openshell logs npm --since 5m
like "$out" 'l7_decision=deny .*/echo.Echo/Denied' 'the log has the denied gRPC method'
like "$out" 'l7_decision=deny .*delete' 'and the denied tool'
run openshell sandbox delete npm
is "$(leftovers)" '' 'nothing is left'
done_testing
