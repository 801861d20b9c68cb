#!/bin/bash
# The proxy against nginx with one worker doing the same: TLS on both sides, keep-alive on both
# sides, the real server's certificate verified. Same files, same wrk, rounds taken in turns, medians.
# nginx keeps no access log here; the proxy judges and logs every request.
. "$(dirname "$0")/bench.sh"

ROUNDS=${ROUNDS:-5} SECONDS_EACH=${SECONDS_EACH:-2} CONNECTIONS=${CONNECTIONS:-32}

for tool in nginx wrk openssl "${CC:-cc}"; do
	PATH=$PATH:/usr/sbin command -v "$tool" >/dev/null && continue
	bench_absent proxy_requests "no $tool here"
	exit 0
done
origin_files
"${CC:-cc}" -shared -fPIC -O2 -o "$W/tuple.so" "$T_TOP/tests/support/preload/tuple.c" -ldl

origin=$(free_port) front=$(free_port) ours=$(free_port) raw=$(free_port) second=$(free_port)
haproxy=$(PATH=$PATH:/usr/sbin command -v haproxy)

origin_conf >"$W/origin.conf"
{
	nginx_common front
	echo "upstream o { server 127.0.0.1:$origin; keepalive 128; keepalive_requests 100000000; }"
	echo "server { listen 127.0.0.1:$front ssl backlog=4096; $tls location / { proxy_pass https://o; proxy_http_version 1.1;"
	echo "proxy_set_header Connection ''; proxy_set_header Host localhost; proxy_ssl_name localhost; proxy_ssl_server_name on;"
	echo "proxy_ssl_verify on; proxy_ssl_trusted_certificate $W/o.crt; proxy_max_temp_file_size 0; } } }"
} >"$W/front.conf"
# The second yardstick, where it is installed: HAProxy with one thread.
cat "$W/o.crt" "$W/o.key" >"$W/both.pem"
cat >"$W/haproxy.cfg" <<EOS
global
	nbthread 1
	maxconn 8192
defaults
	mode http
	timeout connect 10s
	timeout client 600s
	timeout server 600s
	http-reuse always
frontend f
	bind 127.0.0.1:$second ssl crt $W/both.pem alpn http/1.1
	default_backend o
backend o
	http-request set-header Host localhost
	server o 127.0.0.1:$origin ssl verify required ca-file $W/o.crt verifyhost localhost sni str(localhost) alpn http/1.1
EOS
cat >"$W/policy.yaml" <<EOS
version: 1
network_policies:
  bench:
    endpoints:
      - { host: localhost, port: $ours, protocol: rest, enforcement: enforce, access: read-only }
      - { host: localhost, port: $raw }
    binaries: [ { path: /usr/bin/wrk } ]
EOS

cat >"$W/inner" <<'EOS'
#!/bin/bash
# Runs under the driver: takes rounds in turns and prints "name value" lines.
cpu() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }
proxy_pid=
for p in $(pgrep -P "$PPID"); do [ "$p" = $$ ] || proxy_pid=$p; done
for p in $(pgrep -P "$(ps -o ppid= -p "$PPID" | tr -d " ")"); do [ "$p" = "$PPID" ] || bare_pid=$p; done
blast() { # NAME PID URL
	local before after
	before=$(cpu "$2")
	wrk -t1 -c"$CONNECTIONS" -d"$SECONDS_EACH" --latency "$3" >"$W/wrk.$1"
	after=$(cpu "$2")
	awk -v name="$1" -v ticks=$((after - before)) 'function us(v) { return v ~ /ms$/ ? v * 1000 : v ~ /us$/ ? v + 0 : v * 1000000 }
		/requests in/ { n = $1 } $1 == "50%" { print name "_p50", us($2) } $1 == "99%" { print name "_p99", us($2) }
		/Non-2xx|Socket errors/ { print name "_errors", $0 }
		/Requests.sec/ { print name "_rps", $2; if (n) print name "_cpu", ticks * 10000 / n }' "$W/wrk.$1"
}
fetch() { # NAME URL CA
	echo "$1" "$(curl -s --http1.1 --noproxy '*' --cacert "$3" -o /dev/null -w '%{speed_download}' "$2")"
}
round() {
	[ -z "$HAPROXY_PID" ] || blast haproxy "$HAPROXY_PID" "https://localhost:$SECOND/1k"
	blast nginx "$NGINX_PID" "https://localhost:$FRONT/1k"
	LD_PRELOAD=$W/tuple.so blast ours "$proxy_pid" "https://localhost:$TUPLE_DIAL/1k"
	PROXY_PORT=$BARE_PORT PROXY_TUPLES=$BARE_TUPLES LD_PRELOAD=$W/tuple.so blast bare "$bare_pid" "https://localhost:$TUPLE_DIAL/1k"
}
# The first round opens every warm connection there will be; it does not count.
round >/dev/null
for _ in $(seq "$ROUNDS"); do round; done
for _ in $(seq 3); do
	[ -z "$HAPROXY_PID" ] || fetch haproxy_download "https://localhost:$SECOND/512m" "$W/o.crt"
	fetch nginx_download "https://localhost:$FRONT/512m" "$W/o.crt"
	LD_PRELOAD=$W/tuple.so fetch ours_download "https://localhost:$TUPLE_DIAL/512m" "$W/ca.pem"
	fetch direct "https://localhost:$ORIGIN/512m" "$W/o.crt"
	TUPLE_DIAL=$RAW TUPLE_PORT=$RAW LD_PRELOAD=$W/tuple.so fetch relay "https://localhost:$RAW/512m" "$W/o.crt"
done
EOS
# Idle connections: each did one request over TLS that is terminated here.
cat >"$W/idle.py" <<'EOS'
import os, socket, ssl, sys
n, port = int(sys.argv[1]), int(sys.argv[2])
ctx = ssl.create_default_context(cafile=sys.argv[3])
held = []
for i in range(n):
    s = socket.create_connection(("127.0.0.1", int(os.environ["PROXY_PORT"])))
    u = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    u.sendto(b"%d localhost %d /usr/bin/wrk" % (s.getsockname()[1], port), os.environ["PROXY_TUPLES"])
    t = ctx.wrap_socket(s, server_hostname="localhost")
    t.sendall(b"GET /1k HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % port)
    got = b""
    while not got.endswith(b"x" * 1024):
        got += t.recv(4096)
    held.append(t)
print("held", flush=True)
sys.stdin.read()
EOS
chmod 0755 "$W/inner"
chmod -R a+rX "$W"
[ "$(id -u)" != 0 ] || chown -R "$T_UID" "$W"

start_nginx origin_pid "$W/origin.conf"
start_nginx front_pid "$W/front.conf"
until curl -sk --noproxy '*' -o /dev/null "https://localhost:$origin/1k" && curl -sk --noproxy '*' -o /dev/null "https://localhost:$front/1k"; do
	kill -0 "$origin_pid" && kill -0 "$front_pid" || exit 1
done
haproxy_pid=
if [ -n "$haproxy" ]; then
	T_EXEC="exec" t_env "${T_DROP[@]}" "$haproxy" -db -q -f "$W/haproxy.cfg" &
	haproxy_pid=$!
	t_cleanup_pid "$haproxy_pid"
	until curl -sk --noproxy '*' -o /dev/null "https://localhost:$second/1k"; do
		kill -0 "$haproxy_pid" || exit 1
	done
fi

settings=(--policy "$W/policy.yaml" --extra-ca "$W/o.crt" --binary /usr/bin/wrk
	--connect-to "localhost:$ours:127.0.0.1:$origin" --connect-to "localhost:$raw:127.0.0.1:$origin")
supervised=("$T_SUPPORT/proxy_driver" --proxy "$T_BIN/openshell-proxy" "${settings[@]}" --log "$W/events" --ca-out "$W/ca.pem" --)
driver() { # COMMAND...
	t_env W="$W" ROUNDS="$ROUNDS" SECONDS_EACH="$SECONDS_EACH" CONNECTIONS="$CONNECTIONS" FRONT="$front" SECOND="$second" HAPROXY_PID="$haproxy_pid" ORIGIN="$origin" RAW="$raw" \
		NGINX_PID="$(pgrep -P "$front_pid")" TUPLE_DIAL="$ours" TUPLE_HOST=localhost TUPLE_PORT="$ours" TUPLE_BINARY=/usr/bin/wrk \
		"${T_DROP[@]}" "$@"
}

# Beside the proxy runs one that is linked without the log, by a supervisor of its own.
# shellcheck disable=SC2016 # the outer shell's ports, told to the inner one
driver "$T_SUPPORT/proxy_driver" --proxy "$T_BENCH/openshell-proxy-nolog" "${settings[@]}" -- \
	/bin/sh -c 'export BARE_PORT="$PROXY_PORT" BARE_TUPLES="$PROXY_TUPLES" && exec "$@"' sh "${supervised[@]}" "$W/inner" >"$T/tmp/numbers"
value() {
	awk -v name="$1" '$1 == name { print $2 }' "$T/tmp/numbers" | median
}
mib() {
	awk -v v="$(value "$1")" 'BEGIN { printf "%.0f", v / 1048576 }'
}
grep -q ours_errors "$T/tmp/numbers" && bench_absent proxy_requests "$(grep ours_errors "$T/tmp/numbers" | head -1)"
bench proxy_requests "$(value ours_rps)" req/s "$(value nginx_rps)" '>=1.0x' "inspected keep-alive GETs, $CONNECTIONS connections, medians of $ROUNDS"
bench proxy_p99 "$(value ours_p99)" us "$(value nginx_p99)" '<=1.0x' 'the same'
bench proxy_p50 "$(value ours_p50)" us "$(value nginx_p50)" - 'the same'
bench proxy_cpu "$(value ours_cpu)" us/req "$(value nginx_cpu)" - 'user and system time of the process, a request'
bench log_cost "$(value ours_rps)" req/s "$(value bare_rps)" '>=0.95x' 'requests of the proxy, against the same proxy linked without its log'
bench log_cost_cpu "$(value ours_cpu)" us/req "$(value bare_cpu)" - 'the same, processor time of the proxy'
bench proxy_download "$(mib ours_download)" MiB/s "$(mib nginx_download)" '>=1.0x' '512 MiB, inspected, one connection'
bench proxy_relay "$(mib relay)" MiB/s "$(mib direct)" '>=0.8x' '512 MiB uninspected, against a direct connection'
if [ -n "$haproxy" ]; then
	bench haproxy_requests "$(value ours_rps)" req/s "$(value haproxy_rps)" - 'the proxy again, against HAProxy with one thread'
	bench haproxy_p99 "$(value ours_p99)" us "$(value haproxy_p99)" - 'the same'
	bench haproxy_cpu "$(value ours_cpu)" us/req "$(value haproxy_cpu)" - 'the same'
	bench haproxy_download "$(mib ours_download)" MiB/s "$(mib haproxy_download)" - '512 MiB, inspected, against HAProxy'
else
	bench_absent haproxy_requests 'no haproxy here'
fi

# Start: from fork to the CA and to accepting.
start_ms=$(for _ in $(seq 21); do
	t_env "${T_DROP[@]}" "$T_SUPPORT/proxy_driver" --time --proxy "$T_BIN/openshell-proxy" --policy "$W/policy.yaml"
done | awk '{ print $2 }' | median)
bench proxy_start "$start_ms" ms - '<=2.5ms' 'from fork to PROXY_READY'

pss() {
	sed -n 's/^Pss: *\([0-9]*\) kB/\1/p' "/proc/$1/smaps_rollup" 2>/dev/null
}
mkfifo "$T/tmp/hold"
exec 6<>"$T/tmp/hold"
count=1000
exec 5< <(driver "${supervised[@]}" /bin/sh -c "echo \$PPID; read -r go; exec /usr/bin/python3 '$W/idle.py' $count $ours '$W/ca.pem'" <"$T/tmp/hold" 6>&-)
read -r driver_pid <&5
proxy_pid=$(pgrep -P "$driver_pid" | while read -r p; do case $(readlink "/proc/$p/exe") in */openshell-proxy) echo "$p" ;; esac done)
empty=$(pss "$proxy_pid")
echo go >&6
if read -r -t 120 said <&5 && [ "$said" = held ] && loaded=$(pss "$proxy_pid") && [ -n "$loaded" ]; then
	bench proxy_idle_tls "$(awk -v a="$empty" -v b="$loaded" -v n=$count 'BEGIN { printf "%.1f", (b - a) / n }')" KiB - '<=48KiB' "PSS of $count idle connections with TLS terminated"
	bench proxy_idle "$empty" KiB - - 'PSS of the proxy without connections'
else
	bench_absent proxy_idle_tls 'only root may read the memory of processes that are not dumpable'
fi
exec 6>&-
cat <&5 >/dev/null # the driver has ended
exec 5<&-
