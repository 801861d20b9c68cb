#!/bin/bash
# Memory runs out, as a user's shell hands the limit down (ulimit) or for one of our processes alone: what finds no
# room is refused with the reason in the log, the rest lives on, nothing opens, and with room again everything goes
# on.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
need_memory_limits
create=(openshell sandbox create --no-auto-providers)
python=$(readlink -f /usr/bin/python3)

# Less than the proxy would set itself.
start_origin
policy_for /usr/bin/curl "$python" >"$T/work/policy.yaml"
get=(curl -sS -m 5 -o /dev/null -w '%{http_code}' https://api.github.com/zen)
run user prlimit --data=$((500 << 20)) "${create[@]}" --policy "$T/work/policy.yaml" -- "${get[@]}"
is "$out" 200 'with 500 MiB of data (ulimit -d) there is network'

# And for one of our processes alone, far less than it is about to need.
mkdir "$T/libexec"
cp -r "$T_BIN"/openshell-* "$T_BIN/profiles" "$T/libexec/"
thin() { # PROGRAM OPTION KIB
	rm "$T/libexec/$1"
	printf '#!/bin/sh\nulimit %s %s\nexec "%s" "$@"\n' "$2" "$3" "$T_BIN/$1" >"$T/libexec/$1"
	chmod 0755 "$T/libexec/$1"
}
thin openshell-proxy -d 4096
thin openshell-tracer -Sd 12288
chmod -R a+rX "$T/libexec"
cat >"$T/work/tls.py" <<'PY'
import os, resource, socket, ssl, sys, urllib.parse
resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY,) * 2)
proxy = urllib.parse.urlparse(os.environ["https_proxy"])
context = ssl.create_default_context()
held, refused = [], 0
while len(held) < 400 and refused < 3:
    try:
        s = socket.create_connection((proxy.hostname, proxy.port), 5)
        s.sendall(b"CONNECT api.github.com:443 HTTP/1.1\r\nHost: api.github.com:443\r\n\r\n")
        if b" 200" not in s.recv(4096):
            raise ConnectionError
        s = context.wrap_socket(s, server_hostname="api.github.com")
        s.sendall(b"GET /zen HTTP/1.1\r\nHost: api.github.com\r\nX: " + b"a" * 8000 + b"\r\n")
        held.append(s)
    except OSError:
        refused += 1
print("held", len(held), refused)
PY
{
	policy_for /usr/bin/curl
	printf '  many:\n    endpoints:\n'
	seq -f '      - { host: h%.0f.example.com, port: 443 }' 40000
	printf '    binaries: [ { path: /usr/bin/curl } ]\n'
} >"$T/work/large.yaml"
chmod 0644 "$T"/work/*
T_ENV+=("OPENSHELL_LIBEXEC=$T/libexec")
ok 'a sandbox whose processes have little memory' sandbox thin --policy "$T/work/policy.yaml"
run openshell sandbox exec -n thin -- "${get[@]}"
is "$out" 200 'control: it is enough for one'
run openshell policy set thin --policy "$T/work/large.yaml" --wait --timeout 10
not_ok "the supervisor's is not enough for a large policy" test "$status" = 0
like "$err" '^openshell: policy: the supervisor has not enough memory' 'which is said'
run openshell sandbox exec -n thin -- "${get[@]}"
is "$out" 200 'and the old one decides'
run openshell sandbox exec -n thin -- "$python" "$T/work/tls.py"
read -r _ n refused <<<"$out"
ok "the proxy's is enough for ${n:-no} connections, not for more" test "${n:-0}" -gt 10 -a "${refused:-0}" -gt 0
run openshell logs thin -n 0
like "$(grep -v ' INFO ' <<<"$out")" 'memory|malloc|the proxy (ended|cannot)' 'the log says why'
run openshell sandbox exec -n thin -- curl -sS -m 5 -o /dev/null -w '%{http_code}' https://denied.test/
unlike "$out" 200 'nothing opens'
run openshell sandbox exec -n thin -- "${get[@]}"
is "$out" 200 'with memory again it goes on'
run openshell sandbox delete thin

# The same while they run: what is not used yet is taken away, and given back.
squeeze() { # PID
	soft=$(as_user prlimit --pid "$1" --data --noheadings --raw --output SOFT)
	as_user prlimit --pid "$1" "--data=$(($(awk '/^VmData:/ { print $2 }' "/proc/$1/status") * 1024)):"
}
release() { as_user prlimit --pid "$1" "--data=$soft:"; }
unset 'T_ENV[-1]'
ok 'a sandbox with traffic' sandbox squeezed --policy "$T/work/policy.yaml"
run openshell sandbox exec -n squeezed -- "${get[@]}"
is "$out" 200 'control: it is served'
supervisor=$(cat "$T/run/openshell/squeezed/pid")
proxy=$(ps -o pid=,comm= --ppid "$supervisor" | awk '$2 == "openshell-proxy" { print $1 }')
squeeze "$proxy"
run openshell sandbox exec -n squeezed -- "$python" "$T/work/tls.py"
read -r _ n refused <<<"$out"
ok "without memory for more the proxy serves ${n:-none} and refuses others" test "${refused:-0}" -gt 0
like "$(openshell logs squeezed -n 0 | grep -v ' INFO ')" 'memory|malloc|the proxy (ended|cannot)' 'the log says why'
run openshell sandbox exec -n squeezed -- curl -sS -m 5 -o /dev/null -w '%{http_code}' https://denied.test/
unlike "$out" '^200' 'nothing opens'
[ ! -d "/proc/$proxy" ] || release "$proxy"
run openshell sandbox exec -n squeezed -- "${get[@]}"
is "$out" 200 'with memory again it goes on'

squeeze "$supervisor"
run openshell policy set squeezed --policy "$T/work/large.yaml" --wait --timeout 10
not_ok 'a supervisor without memory for more takes no large policy' test "$status" = 0
like "$err" '^openshell: .*supervisor.* (not enough|out of) memory' 'which is said'
cat >"$T/work/crowd.py" <<'PY'
# Each a process of its own, all at once, so that each has to be looked at.
import os, sys
gate, begin = os.pipe()
for _ in range(60):
    if os.fork() == 0:
        os.close(begin)
        os.read(gate, 1)
        os.execv("/usr/bin/curl", ["curl", "-sS", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}\n", sys.argv[1]])
os.close(begin)
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
PY
chmod 0644 "$T/work/crowd.py"
T_TIMEOUT=60 run openshell sandbox exec -n squeezed -- "$python" "$T/work/crowd.py" https://api.github.com/zen
is "$(grep -cE '^(200|000|50[0-9])$' <<<"$out")" 60 'a crowd is served or refused'
[ "$(grep -c '^200' <<<"$out")" = 60 ] || like "$(openshell logs squeezed -n 0)" 'out of memory|too many|memory' 'and the log says why'
run openshell sandbox exec -n squeezed -- curl -sS -m 5 -o /dev/null -w '%{http_code}' https://denied.test/
unlike "$out" '^200' 'nothing opens'
release "$supervisor"
run openshell sandbox exec -n squeezed -- "${get[@]}"
is "$out" 200 'with memory again it goes on'
is "$(cat "$T/run/openshell/squeezed/pid")" "$supervisor" 'the supervisor is the one it was'
run openshell sandbox delete squeezed
is "$(leftovers)" '' 'nothing is left'
done_testing
