#!/bin/bash
# The proxy beside those that people use for the same: Squid with ssl-bump and mitmproxy, in front of the same
# nginx with the same wrk, rounds in turns, medians. And proxychains, which sends a program's connections through
# a proxy as well: what connect() costs under it. All of it for information: no budget is compared with these.
#
# Each opens the client's TLS, verifies the server's certificate, and keeps connections alive on both sides;
# Squid and mitmproxy keep no log. Clients reach these two by CONNECT, which libproxychains does for wrk: a
# request on a connection that is open costs nothing more by that.
. "$(dirname "$0")/bench.sh"

ROUNDS=${ROUNDS:-5} SECONDS_EACH=${SECONDS_EACH:-2} CONNECTIONS=${CONNECTIONS:-32} FETCHES=${FETCHES:-3}

without() { # PROGRAM: nothing here can be measured
	for row in squid_requests mitmproxy_requests proxychains_connect_p50; do
		bench_absent "$row" "no $1 here"
	done
	exit 0
}
for tool in nginx wrk openssl "${CC:-cc}"; do
	PATH=$PATH:/usr/sbin command -v "$tool" >/dev/null || without "$tool"
done
chains=$(find /usr/lib /usr/lib64 /usr/local/lib -name 'libproxychains*.so*' 2>/dev/null | head -1)
[ -n "$chains" ] || without proxychains
# Where security_file_certgen is missing, squid was built without ssl-bump (Debian's package squid; squid-openssl has it).
certgen=$(find /usr/lib/squid /usr/lib64/squid /usr/libexec/squid -name security_file_certgen 2>/dev/null | head -1)
squid=$(PATH=$PATH:/usr/sbin command -v squid)
[ -n "$certgen" ] || squid=
mitmdump=$(command -v mitmdump)

origin_files
"${CC:-cc}" -shared -fPIC -O2 -o "$W/tuple.so" "$T_TOP/tests/support/preload/tuple.c" -ldl
origin=$(free_port) ours=$(free_port) squid_port=$(free_port) plain_port=$(free_port) mitm_port=$(free_port)
origin_conf >"$W/origin.conf"
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$W/ca.key" -out "$W/peer-ca.crt" -days 2 -subj '/CN=bench CA' \
	-addext basicConstraints=critical,CA:TRUE -addext keyUsage=keyCertSign,cRLSign 2>/dev/null
cat "$W/ca.key" "$W/peer-ca.crt" >"$W/peer-ca.pem"

squid_common() {
	printf '%s\n' 'http_access allow all' 'cache deny all' 'cache_mem 0' 'access_log none' 'cache_log /dev/null' \
		'cache_store_log none' 'netdb_filename none' 'pinger_enable off' 'shutdown_lifetime 0 seconds' \
		'pid_filename none' "coredump_dir $W/tmp"
}
{
	squid_common
	echo "http_port 127.0.0.1:$squid_port ssl-bump tls-cert=$W/peer-ca.pem generate-host-certificates=on dynamic_cert_mem_cache_size=4MB"
	echo "sslcrtd_program $certgen -s $W/certs -M 4MB"
	echo "tls_outgoing_options cafile=$W/o.crt"
	echo 'ssl_bump stare all'
	echo 'ssl_bump bump all'
} >"$W/squid.conf"
{
	squid_common
	echo "http_port 127.0.0.1:$plain_port"
} >"$W/plain.conf"
mkdir "$W/mitm"
cp "$W/peer-ca.pem" "$W/mitm/mitmproxy-ca.pem"
chain() { # NAME PORT: what proxychains does for NAME
	printf '%s\n' strict_chain quiet_mode 'tcp_read_time_out 15000' 'tcp_connect_time_out 8000' '[ProxyList]' \
		"http 127.0.0.1 $2" >"$W/$1.chain"
}
chain squid "$squid_port"
chain mitmproxy "$mitm_port"
chain plain "$plain_port"
policy() { # PROGRAM HOST PORT [KEYS]
	printf '%s\n' 'version: 1' 'network_policies:' '  bench:' "    endpoints: [ { host: $2, port: $3${4:-} } ]" \
		"    binaries: [ { path: \"$1\" } ]"
}
policy /usr/bin/wrk localhost "$ours" ', protocol: rest, enforcement: enforce, access: read-only' >"$W/policy.yaml"
policy "$W/connect" bench.test 7000 >"$W/connect.yaml"
cp "$T_BENCH/connect" "$W/connect"

# Runs under the driver: takes rounds in turns and prints "name value" lines.
cat >"$W/inner" <<'EOS'
#!/bin/bash
cpu() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }
for p in $(pgrep -P "$PPID"); do [ "$p" = $$ ] || proxy_pid=$p; done
blast() { # NAME PID URL PRELOAD
	local before after
	before=$(cpu "$2")
	LD_PRELOAD=$4 wrk -t1 -c"$CONNECTIONS" -d"$SECONDS_EACH" --timeout 20 --latency "$3" >"$W/wrk.$1" 2>/dev/null
	after=$(cpu "$2")
	awk -v name="$1" -v ticks=$((after - before)) 'function us(v) { return v ~ /ms$/ ? v * 1000 : v ~ /us$/ ? v + 0 : v * 1000000 }
		/requests in/ { n = $1 } $1 == "99%" { print name "_p99", us($2) }
		/Non-2xx|Socket errors/ { print name "_errors", $0 }
		/Requests.sec/ { print name "_rps", $2; if (n) print name "_cpu", ticks * 10000 / n }' "$W/wrk.$1"
}
fetch() { # NAME CURL-ARGUMENTS...
	echo "${1}_download" "$(curl -sS --http1.1 -o /dev/null -w '%{speed_download}' "${@:2}")"
}
peers() { # FUNCTION: with name, pid and port of each that runs
	[ -z "$SQUID_PID" ] || "$1" squid "$SQUID_PID" "$SQUID_PORT"
	[ -z "$MITM_PID" ] || "$1" mitmproxy "$MITM_PID" "$MITM_PORT"
}
blast_peer() { PROXYCHAINS_CONF_FILE=$W/$1.chain blast "$1" "$2" "https://localhost:$ORIGIN/1k" "$CHAINS"; }
fetch_peer() { fetch "$1" --noproxy '' --proxy "http://127.0.0.1:$3" --cacert "$W/peer-ca.crt" "https://localhost:$ORIGIN/512m"; }
round() {
	blast ours "$proxy_pid" "https://localhost:$TUPLE_DIAL/1k" "$W/tuple.so"
	peers blast_peer
}
# The first round warms up; it does not count.
round >/dev/null
for _ in $(seq "$ROUNDS"); do round; done
for _ in $(seq "$FETCHES"); do
	LD_PRELOAD=$W/tuple.so fetch ours --noproxy '*' --cacert "$W/ca.pem" "https://localhost:$TUPLE_DIAL/512m"
	peers fetch_peer
done
EOS
chmod 0755 "$W/inner"
chmod -R a+rX "$W"
[ "$(id -u)" != 0 ] || chown -R "$T_UID" "$W"

# until_serves PID CURL-ARGUMENTS...: fails where the server has ended instead, or serves nothing but errors.
until_serves() {
	local end=$((SECONDS + 20))

	until curl -skf --max-time 5 -o /dev/null "${@:2}" "https://localhost:$origin/1k"; do
		[ "$SECONDS" -lt "$end" ] && kill -0 "$1" 2>/dev/null || return 1
	done
}
start_nginx origin_pid "$W/origin.conf"
until_serves "$origin_pid" --noproxy '*' || exit 1
peer() { # VARIABLE PORT COMMAND...: a proxy, its pid, empty where it does not serve
	local peer_pid

	T_EXEC="exec" t_env "${T_DROP[@]}" "${@:3}" >/dev/null 2>&1 &
	peer_pid=$!
	t_cleanup_pid $peer_pid
	until_serves $peer_pid --noproxy '' --proxy "http://127.0.0.1:$2" || peer_pid=
	printf -v "$1" %s "$peer_pid"
}
squid_pid='' mitm_pid='' plain_pid=''
# Names of their own: what they share with their children must not be that of a Squid that runs already.
if [ -n "$squid" ]; then
	user "$certgen" -c -s "$W/certs" -M 4MB >/dev/null 2>&1
	peer squid_pid "$squid_port" "$squid" -N -n "inspect$$" -f "$W/squid.conf"
	peer plain_pid "$plain_port" "$squid" -N -n "plain$$" -f "$W/plain.conf"
fi
[ -z "$mitmdump" ] || peer mitm_pid "$mitm_port" "$mitmdump" -q --listen-host 127.0.0.1 -p "$mitm_port" --set "confdir=$W/mitm" \
	--set "ssl_verify_upstream_trusted_ca=$W/o.crt" --set stream_large_bodies=1m

t_env W="$W" ROUNDS="$ROUNDS" SECONDS_EACH="$SECONDS_EACH" CONNECTIONS="$CONNECTIONS" FETCHES="$FETCHES" ORIGIN="$origin" CHAINS="$chains" \
	SQUID_PID="$squid_pid" SQUID_PORT="$squid_port" MITM_PID="$mitm_pid" MITM_PORT="$mitm_port" \
	TUPLE_DIAL="$ours" TUPLE_HOST=localhost TUPLE_PORT="$ours" TUPLE_BINARY=/usr/bin/wrk "${T_DROP[@]}" \
	"$T_SUPPORT/proxy_driver" --proxy "$T_BIN/openshell-proxy" --policy "$W/policy.yaml" --extra-ca "$W/o.crt" --binary /usr/bin/wrk \
	--connect-to "localhost:$ours:127.0.0.1:$origin" --log "$W/events" --ca-out "$W/ca.pem" -- "$W/inner" >"$T/tmp/numbers"
value() {
	awk -v name="$1" '$1 == name { print $2; n++ } END { if (!n) print "-" }' "$T/tmp/numbers" | median
}
mib() {
	awk -v v="$(value "$1")" 'BEGIN { if (v > 0) printf "%.0f", v / 1048576; else print "-" }'
}
report() { # NAME PROGRAM
	local errors

	errors=$(grep -m1 "^$1_errors" "$T/tmp/numbers" | tr -s ' \t' ' ')
	bench "$1_requests" "$(value ours_rps)" req/s "$(value "$1_rps")" - \
		"inspected keep-alive GETs, $CONNECTIONS connections, medians of n=$ROUNDS rounds in turns, against $2${errors:+ with $errors}"
	bench "$1_p99" "$(value ours_p99)" us "$(value "$1_p99")" - 'the same'
	bench "$1_cpu" "$(value ours_cpu)" us/req "$(value "$1_cpu")" - 'the same, processor time of the process'
	bench "$1_download" "$(mib ours_download)" MiB/s "$(mib "$1_download")" - "512 MiB, inspected, one connection, medians of n=$FETCHES in turns, against $2"
}
if grep -q ours_errors "$T/tmp/numbers"; then bench_absent peers "$(grep -m1 ours_errors "$T/tmp/numbers")"; fi
if [ -n "$squid_pid" ]; then report squid 'Squid with ssl-bump'; else bench_absent squid_requests 'no Squid with ssl-bump here'; fi
if [ -n "$mitm_pid" ]; then report mitmproxy mitmproxy; else bench_absent mitmproxy_requests 'no mitmproxy here'; fi

# What a program waits for until it may write, through proxychains and a Squid that does not inspect: a new
# connection to the proxy, CONNECT, the proxy's own connection, and its answer. Through ours: the decision, in the
# log, and a connection to the proxy, which dials meanwhile.
if [ -z "$plain_pid" ]; then
	bench_absent proxychains_connect_p50 'no Squid here to connect through'
	exit 0
fi
helper target "$T_SUPPORT/accept"
openshell sandbox create --name peers --keep --no-auto-providers --policy "$W/connect.yaml" \
	--connect-to "bench.test:7000:127.0.0.1:$target" -- true || exit 1
count=100 rounds=7
for ((i = 0; i < rounds; i++)); do
	user env PROXYCHAINS_CONF_FILE="$W/plain.chain" LD_PRELOAD="$chains" "$W/connect" 127.0.0.1 "$target" $count >>"$T/tmp/chained"
	openshell sandbox exec -n peers -- "$W/connect" bench.test 7000 $count >>"$T/tmp/ours"
done
bench proxychains_connect_p50 "$(cut -d' ' -f1 "$T/tmp/ours" | median)" us "$(cut -d' ' -f1 "$T/tmp/chained" | median)" - \
	"n=$((count * rounds)) in $rounds rounds in turns, against proxychains through Squid without inspection"
bench proxychains_connect_p99 "$(cut -d' ' -f2 "$T/tmp/ours" | median)" us "$(cut -d' ' -f2 "$T/tmp/chained" | median)" - 'the same connections'
openshell sandbox delete peers >/dev/null
