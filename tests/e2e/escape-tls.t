#!/bin/bash
# The other end's certificate, and ours (threats.md 37, 38): a server that cannot show who it is gets no
# request; the key of the sandbox's CA is in no file, and its certificate never on the host.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
start_origin
good_ca=$origin_ca
start expired "$T_SUPPORT/origin" --days -1 --ca "$T/tmp/expired.pem" --log "$T/tmp/expired.log" --name expired.test
start stranger "$T_SUPPORT/origin" --log "$T/tmp/stranger.log" --name stranger.test
start misnamed "$T_SUPPORT/origin" --ca "$T/tmp/misnamed.pem" --log "$T/tmp/misnamed.log" --name other.test
start older "$T_SUPPORT/origin" --ca "$T/tmp/older.pem" --log "$T/tmp/older.log" --name older.test --max-tls12
start plain "$T_SUPPORT/origin" --plain --log "$T/tmp/plain.log"
start mute "$T_SUPPORT/origin" --silent --log "$T/tmp/mute.log"
cat "$good_ca" "$T/tmp/expired.pem" "$T/tmp/misnamed.pem" "$T/tmp/older.pem" >"$T/tmp/all.pem"
chmod 0644 "$T/tmp/all.pem"
pins="api.github.com:443:127.0.0.1:$origin expired.test:443:127.0.0.1:$expired stranger.test:443:127.0.0.1:$stranger"
pins="$pins misnamed.test:443:127.0.0.1:$misnamed older.test:443:127.0.0.1:$older plain.test:443:127.0.0.1:$plain"
T_ENV=("OPENSHELL_UPSTREAM_CA=$T/tmp/all.pem" "OPENSHELL_CONNECT_TO=$pins mute.test:443:127.0.0.1:$mute")
{
	echo 'version: 1'
	echo 'network_policies:'
	for host in api.github.com expired.test stranger.test misnamed.test older.test plain.test; do
		printf '  %s:\n    endpoints:\n      - { host: %s, port: 443, protocol: rest, enforcement: enforce, access: full }\n    binaries: [ { path: /usr/bin/curl } ]\n' \
			"${host%%.*}" "$host"
	done
} >"$T/work/policy.yaml"
host_store=$(sha256sum </etc/ssl/certs/ca-certificates.crt)
ok 'a sandbox' sandbox tls --policy "$T/work/policy.yaml"

run inside tls 'curl -sS https://api.github.com/zen'
like "$out" Anything 'control: a server that is who it says'
run inside tls 'curl -sS https://older.test/zen'
like "$out" Anything 'control: TLS 1.2 is still enough'
for host in expired stranger misnamed plain; do
	run inside tls "curl -sS -m $((10 * T_SLOW)) -w '%{http_code}' https://$host.test/zen"
	unlike "$out" Anything "$host: no answer"
	like "$out$err" '502|reset|closed|eof|EOF|SSL' "$host: the client hears of it"
	not_ok "$host: the server got no request" grep -q '^request' "$T/tmp/$host.log"
done
run openshell logs tls --since 5m
for host in expired stranger misnamed; do
	like "$out" "dst_host=$host\\.test.*(certificate|verif|expired|mismatch|self)" "$host: the log says why"
done

# 38: where the CA is and is not.
run inside tls 'echo | openssl s_client -connect api.github.com:443 -servername api.github.com 2>/dev/null | grep -c "BEGIN CERT"'
run inside tls 'cat $SSL_CERT_FILE | grep -c "BEGIN CERTIFICATE"'
ok 'the bundle inside holds the sandbox CA' test "${out:-0}" -gt 0
run inside tls 'find /etc /sandbox /run /tmp /dev/shm -xdev -type f -readable -size -1M 2>/dev/null | xargs grep -l "PRIVATE KEY" 2>/dev/null | grep -v "^/etc/ssl/private/"'
is "$out" "$(grep -rl 'PRIVATE KEY' /etc 2>/dev/null | xargs -r -I{} sh -c 'setpriv --reuid '"$T_UID"' --clear-groups --regid '"$T_UID"' test -r {} && echo {}' 2>/dev/null)" 'no private key of ours can be read inside'
is "$(grep -rl 'PRIVATE KEY' "$T/state" "$T/run" "$T/config" 2>/dev/null)" '' 'nor is one in any file outside'
is "$(sha256sum </etc/ssl/certs/ca-certificates.crt)" "$host_store" "the host's trust store is what it was"
run openshell sandbox stop tls
run openshell sandbox start tls
run inside tls 'curl -sS https://api.github.com/zen'
like "$out" Anything 'after a restart with its new CA everything works'
run openshell sandbox delete tls
is "$(leftovers)" '' 'nothing is left'
done_testing
