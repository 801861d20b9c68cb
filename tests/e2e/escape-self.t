#!/bin/bash
# Ourselves and the machine through our own proxy (threats.md 36): neither the host's loopback nor the
# proxy's own listener, the control socket or a metadata service is a destination, whoever names it and
# even where a policy allows the name.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
start_origin
start canary "$T_SUPPORT/canary" "$T/tmp/canary.log"
policy_for /usr/bin/curl >"$T/work/policy.yaml"
cat >>"$T/work/policy.yaml" <<EOS
  names:
    endpoints:
      - { host: localhost, port: $canary }
      - { host: localhost, port: 3128 }
      - { host: metadata.google.internal, port: 80 }
    binaries: [ { path: /usr/bin/curl } ]
EOS
ok 'a sandbox' sandbox self --policy "$T/work/policy.yaml"
get() { run openshell sandbox exec -n self -- curl -sS -m $((8 * T_SLOW)) -o /dev/null -w '%{http_code} %{http_connect}\n' "$@"; }

get https://api.github.com/zen
like "$out" '^200' 'control: what is allowed is reached'
run user curl -sS -m $((5 * T_SLOW)) "http://127.0.0.1:$canary/"
ok 'control: outside, the canary sings' wait_line "$T/tmp/canary.log" tcp
: >"$T/tmp/canary.log"

run inside self 'echo $https_proxy'
own=${out#http://}
like "$own" ':[0-9]+$' "the proxy's own address"
for url in "http://localhost:$canary/" "http://127.0.0.1:$canary/" "http://[::1]:$canary/" "http://0.0.0.0:$canary/" \
	"http://[::ffff:127.0.0.1]:$canary/" "http://host.openshell.internal:$canary/" "http://$own/" "http://169.254.169.254/latest/meta-data/" \
	http://metadata.google.internal/ http://100.100.100.200/ 'http://[fd00:ec2::254]/' 'http://[fe80::1]/'; do
	get -x "$own" --noproxy '' "$url"
	unlike "$out" '^2' "$url through the proxy"
	get -p -x "$own" --noproxy '' "$url"
	unlike "$out" '^2' "$url in a tunnel"
done
run openshell sandbox exec -n self -- /usr/bin/python3 -c "
import socket
s = socket.create_connection(('$own'.rsplit(':', 1)[0], int('$own'.rsplit(':', 1)[1])), 5); s.settimeout(5)
s.sendall(b'GET /status HTTP/1.1\r\nHost: $own\r\n\r\n')
print(s.recv(200).split(b' ')[1].decode())"
like "$out" '^(400|403|421)$' 'the proxy has no pages of its own'
run inside self "find / -xdev -name '*.sock' -o -name control 2>/dev/null | grep -i openshell"
is "$out" '' 'there is no control socket inside'
not_ok 'the canary is silent' grep -q . "$T/tmp/canary.log"
run openshell logs self --since 5m
like "$out" 'action=deny dst_host=localhost .*(internal|loopback|SSRF|ssrf)' 'a name that is allowed and means ourselves is refused by its address'
like "$out" 'action=deny dst_host=169\.254\.169\.254' 'and the metadata service is in the log'
run openshell sandbox delete self
is "$(leftovers)" '' 'nothing is left'
done_testing
