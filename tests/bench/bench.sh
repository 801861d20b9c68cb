# shellcheck shell=bash
# bench.sh - what the benchmark scripts share: env.sh and one way to print a result.
#
# A result is one line, `BENCH name value unit yardstick ratio budget verdict note`; "-" stands for
# what does not apply. Budgets are those of the design: "<=1.6x" and ">=0.8x" compare the ratio
# value/yardstick, "<=30ms" the value. tests/bench/run makes the table and the JSON from them.

# shellcheck source=tests/support/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/../support/env.sh"
T_BENCH=$T_BUILD/bench
if ! as_user test -x "$T_BENCH/pairs"; then
	cp -r "$T_BENCH" "$T/dist/bench" && chown -R "$T_UID" "$T/dist/bench"
	T_BENCH=$T/dist/bench
fi
cd "$T/work" || exit 1

# bench NAME VALUE UNIT YARDSTICK BUDGET NOTE...
bench() {
	local name=$1 value=${2:--} unit=$3 yardstick=${4:--} budget=$5

	shift 5
	[ "$value" != - ] || [[ $* = 'not run'* ]] || set -- 'failed:' "$@"
	awk -v name="$name" -v value="$value" -v unit="$unit" -v yard="$yardstick" -v budget="$budget" -v note="$*" 'BEGIN {
		ratio = yard != "-" && yard > 0 ? value / yard : "-"
		verdict = "info"
		if (value == "-") verdict = budget == "-" ? "info" : "miss"
		else if (budget != "-") {
			limit = substr(budget, 3) + 0
			got = budget ~ /x$/ ? ratio : value
			verdict = got != "-" && (budget ~ /^<=/ ? got <= limit : got >= limit) ? "pass" : "miss"
		}
		printf "BENCH %s %s %s %s %s %s %s %s\n", name, value, unit, yard,
			ratio == "-" ? "-" : sprintf("%.2fx", ratio), budget, verdict, note
	}'
}

# A benchmark that could not be run says so in the table.
bench_absent() {
	bench "$1" - - - - "not run: $2"
}

median() {
	sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

ms() {
	awk -v us="$1" 'BEGIN { if (us !~ /^[0-9]/) print "-"; else printf "%.2f", us / 1000 }'
}

# helper VARIABLE COMMAND...: a server that prints its port, as the user, until the script's end.
helper() {
	local helper_name=$1 helper_port

	shift
	exec 7< <(T_EXEC="exec" t_env "${T_DROP[@]}" "$@")
	t_cleanup_pid $!
	read -r -t 10 helper_port <&7
	printf -v "$helper_name" %s "$helper_port"
}

# --- the server that proxies are measured in front of: nginx, TLS, one worker ---

free_port() {
	/usr/bin/python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# In $W what it serves, and its certificate.
origin_files() {
	nginx=$(PATH=$PATH:/usr/sbin command -v nginx)
	W=$T/work
	mkdir "$W/www" "$W/tmp"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$W/o.key" -out "$W/o.crt" -days 2 \
		-subj /CN=localhost -addext subjectAltName=DNS:localhost 2>/dev/null
	head -c 1024 /dev/zero | tr '\0' x >"$W/www/1k"
	truncate -s 512M "$W/www/512m"
	tls="ssl_certificate $W/o.crt; ssl_certificate_key $W/o.key;"
}

nginx_common() { # NAME
	echo "worker_processes 1; daemon off; error_log /dev/null; pid $W/tmp/$1.pid;"
	echo 'events { worker_connections 8192; }'
	echo "http { access_log off; sendfile on; keepalive_requests 100000000; keepalive_timeout 600s;"
	echo "client_body_temp_path $W/tmp; proxy_temp_path $W/tmp; fastcgi_temp_path $W/tmp; uwsgi_temp_path $W/tmp; scgi_temp_path $W/tmp;"
}

# Of the server on the port $origin.
origin_conf() {
	nginx_common origin
	echo "server { listen 127.0.0.1:$origin ssl backlog=4096; $tls root $W/www; } }"
}

start_nginx() { # VARIABLE CONF
	T_EXEC="exec" t_env "${T_DROP[@]}" "$nginx" -p "$W" -e /dev/null -c "$2" &
	t_cleanup_pid $!
	printf -v "$1" %s $!
}
