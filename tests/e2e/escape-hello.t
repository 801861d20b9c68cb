#!/bin/bash
# ClientHellos in every shape (threats.md 30): what can be parsed is served, whatever else comes is refused,
# within a deadline; no byte of it is forwarded unseen.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
start_origin
python=$(readlink -f /usr/bin/python3)
cp "$T_TOP/tests/support/clients/hello.py" "$T/work/hello.py"
chmod 0644 "$T/work/hello.py"
policy_for "$python" >"$T/work/policy.yaml"
ok 'a sandbox' sandbox hello --policy "$T/work/policy.yaml"
said() { sed -n "s/^$1 //p" <<<"$out"; }
hello() { T_TIMEOUT=90 run openshell sandbox exec -n hello -- "$python" "$T/work/hello.py" "$@"; }

hello api.github.com plain
is "$(said plain)" 200 'control: a hello as a library sends it'
hello api.github.com bytewise records-1 records-many long no-sni
for shape in bytewise records-1 records-many long; do
	like "$(said $shape)" '^(200|closed)$' "$shape: served or refused, not left hanging"
done
is "$(said bytewise)" 200 'a hello one byte a segment is the same hello'
is "$(said long)" 200 'and so is one of eight kilobytes'
is "$(said no-sni)" 200 'without a server name it is the name that CONNECT was judged by'
: >"$origin_log"
bad='sslv2 huge-record endless garbage alert-first empty-record'
# shellcheck disable=SC2086 # one word a case
hello api.github.com $bad
for shape in $bad; do
	is "$(said "$shape")" closed "$shape: refused"
done
hello api.github.com not-tls
like "$(said not-tls)" '^(closed|silent)$' 'what is neither TLS nor HTTP gets no answer'
not_ok 'the server heard of none of them' grep -q . "$origin_log"
hello api.github.com plain
is "$(said plain)" 200 'control: after them everything is as before'
run openshell logs hello --since 5m
like "$out" 'WARN .*dst_host=api\.github\.com .*(TLS|tls|hello|handshake|SNI|server name|HTTP)' 'the log says why'
run openshell sandbox delete hello
is "$(leftovers)" '' 'nothing is left'
done_testing
