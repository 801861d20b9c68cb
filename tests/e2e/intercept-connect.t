#!/bin/bash
# Fidelity: what connect(), getpeername() and their neighbours say inside is what they say outside.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
start server "$T_SUPPORT/accept"
cp "$T_SUPPORT/clients/semantics.py" "$T/work/" 2>/dev/null || cp "$T_TOP/tests/support/clients/semantics.py" "$T/work/"
chmod 0644 "$T/work/semantics.py"
cat >"$T/work/policy.yaml" <<'EOS'
version: 1
network_policies:
  server:
    endpoints:
      - { host: server.test, port: 7000 }
    binaries:
      - { path: "/usr/bin/python3*" }
EOS
chmod 0644 "$T/work/policy.yaml"
ok 'a sandbox' sandbox fidelity --policy "$T/work/policy.yaml" --connect-to "server.test:7000:127.0.0.1:$server"

T_TIMEOUT=60 run user /usr/bin/python3 "$T/work/semantics.py" 127.0.0.1 "$server"
outside=$out
is "$status" 0 'control: outside, the cases run'
T_TIMEOUT=60 run openshell sandbox exec -n fidelity -- /usr/bin/python3 "$T/work/semantics.py" server.test 7000
while IFS= read -r line; do
	what=${line%%:*}
	is "$(grep -F "$what:" <<<"$out" | head -1)" "$line" "$what"
done <<<"$outside"
run openshell sandbox delete fidelity
is "$(leftovers)" '' 'nothing is left'
done_testing
