#!/bin/bash
# Fidelity: what connect(), getpeername() and their neighbours say inside is what they say outside.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
start server "$T_SUPPORT/accept"
cp "$T_SUPPORT/clients/semantics.py" "$T/work/" 2>/dev/null || cp "$T_TOP/tests/support/clients/semantics.py" "$T/work/"
chmod 0644 "$T/work/semantics.py"
cp "$T_SUPPORT/attack" "$T/work/attack" && chmod 0755 "$T/work/attack"
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
set -- --policy "$T/work/policy.yaml" --connect-to "server.test:7000:127.0.0.1:$server"

T_TIMEOUT=60 run user /usr/bin/python3 "$T/work/semantics.py" 127.0.0.1 "$server"
outside=$out
is "$status" 0 'control: outside, the cases run'

# same_as TEXT: the sandbox $name says what the text does; leaves what it says in inside.
same_as() {
	local line what

	T_TIMEOUT=60 run openshell sandbox exec -n "$name" -- /usr/bin/python3 "$T/work/semantics.py" server.test 7000
	inside=$out
	while IFS= read -r line; do
		what=${line%%:*}
		is "$(grep -F "$what:" <<<"$inside" | head -1)" "$line" "$what"
	done <<<"$1"
}

# Before Linux 6.9 nobody reaches the descriptors of a thread, only those of its process: where the two differ it is
# refused, and said.
same_but_own_tables() {
	same_as "$(grep -v '^own descriptor table:' <<<"$outside"; echo 'own descriptor table: ENOTSUP ENOTSUP ENOTCONN')"
	run openshell logs "$name" --since 5m
	like "$out" 'WARN \[SOCKET\] action=deny .*before Linux 6\.9' 'with the reason in the log'
	like "$(head -1 <<<"$out")" 'sandbox started: .* missing=[a-z_,]*pidfd_thread' 'whose first line says what is missing'
}

name=fidelity
ok 'a sandbox' sandbox "$name" "$@"
if python3 -c 'import os; os.pidfd_open(os.getpid(), os.O_EXCL)' 2>/dev/null; then
	same_as "$outside"
else
	same_but_own_tables
fi
run openshell sandbox delete "$name"

name=old
run user "$T/work/attack" under-old-pidfds openshell sandbox create ${T_INTERCEPT:+--intercept "$T_INTERCEPT"} --name "$name" \
	--keep --no-auto-providers "$@" -- true
is "$status" 0 'a sandbox as on an older kernel'
same_but_own_tables
run user "$T/work/attack" under-old-pidfds openshell doctor
like "$out" 'features +without .*pidfd_thread \(6\.9\)' 'doctor says what is missing'
like "$out" 'costs: .*descriptor table of their own are refused' 'and what it costs'
run openshell sandbox delete "$name"
is "$(leftovers)" '' 'nothing is left'
done_testing
