#!/bin/bash
# Descriptors or file size run out, as a user's shell hands the limits down (ulimit) or while a sandbox runs: too
# little to begin with is refused with the remedy; later what finds no room is refused with the reason in the log,
# the rest lives on, nothing opens, and with room again everything goes on. faults-memory.t has memory.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
limited() { user prlimit "$@"; }
create=(openshell sandbox create --no-auto-providers)

# Too little to begin with.
run limited --nofile=64:64 "${create[@]}" -- true
is "$status" 125 '64 open files: nothing starts'
one_line_error '64 open files are allowed .ulimit -n., a sandbox needs 256' 'and it says why'
like "$err" '^hint: .*ulimit -Hn' 'and what to do'
run limited --nofile=64:1024 "${create[@]}" -- sh -c 'ulimit -Sn'
is "$status" 0 'control: with a soft limit that can be raised it starts'
run limited --fsize=4096 "${create[@]}" -- true
is "$status" 125 'files of 4 KiB: nothing starts'
one_line_error 'File too large' 'and it says why'
run openshell sandbox list -o json
is "$(jq length <<<"$out")" 0 'nothing of them is left'

# 256 descriptors. A server that greets, then sends back.
cat >"$T/work/echo.py" <<'PY'
import socket, threading
l = socket.create_server(("127.0.0.1", 0), backlog=512)
print(l.getsockname()[1], flush=True)
def serve(s):
    s.sendall(b"hi")
    while b := s.recv(100):
        s.sendall(b)
while True:
    threading.Thread(target=serve, args=(l.accept()[0],), daemon=True).start()
PY
# As many as there are, until so many were refused; held until there is something to read, and who was greeted
# has to be answered then.
cat >"$T/work/many.py" <<'PY'
import socket, sys
held, refused = [], 0
for _ in range(int(sys.argv[1])):
    s = socket.socket()
    s.settimeout(8)
    try:
        s.connect(("echo.test", 7001))
        if s.recv(2) != b"hi":
            raise ConnectionError
        held.append(s)
    except OSError:
        refused += 1
        if refused == int(sys.argv[2]):
            break
print("held", len(held), refused, flush=True)
sys.stdin.read(1)
alive = 0
for s in held:
    s.sendall(b"x")
    alive += s.recv(1) == b"x"
print("alive", alive, flush=True)
PY
chmod 0644 "$T"/work/*.py
start echo /usr/bin/python3 "$T/work/echo.py"
ulimit -n 256
python=$(readlink -f /usr/bin/python3)
arena small --connect-to "echo.test:7001:127.0.0.1:$echo"
cat >>"$T/work/arena.yaml" <<EOS
  echo:
    endpoints: [ { host: echo.test, port: 7001 } ]
    binaries: [ { path: "$python" } ]
EOS
sed 's/^version.*/& # other/' "$T/work/arena.yaml" >"$T/work/other.yaml"
sed 's/^version.*/& # both/' "$T/work/arena.yaml" >"$T/work/both.yaml"
chmod 0644 "$T"/work/*.yaml
run openshell policy set small --policy "$T/work/arena.yaml" --wait
is "$status" 0 'a sandbox with 256 descriptors for each of our processes'
control
run openshell sandbox exec -n small -- sh -c 'for i in $(seq 200); do '"'$T/work/attack'"' reach allowed.test 7000; done'
is "$(grep -c '^reach: ok' <<<"$out")" 200 'two hundred programs one after the other are served'
cpu() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }
supervisor=$(descendant openshell-trace) proxy=$(descendant openshell-proxy)

# The proxy's descriptors.
mkfifo "$T/tmp/hold"
exec 6<>"$T/tmp/hold"
(exec 6>&-; openshell sandbox exec -n small -- "$python" "$T/work/many.py" 200 2 <"$T/tmp/hold" >"$T/tmp/many.out" 2>&1) &
many=$!
ok "the proxy's are taken" wait_line "$T/tmp/many.out" '^held [0-9]+ 2$' 25
n=$(sed -n 's/^held \([0-9]*\) .*/\1/p' "$T/tmp/many.out")
ok "$n connections are served, the others refused" test "${n:-0}" -gt 60
run openshell logs small -n 0
# Which of the two that a connection takes is the one too many depends on how many there were.
like "$out" 'action=deny .*deny_reason="(out of descriptors|connection to .* failed: Too many open files)' 'the log says why'
run openshell policy set small --policy "$T/work/other.yaml" --wait --timeout 5
is "$status" 0 'a new policy arrives all the same'
run openshell policy set small --policy "$T/work/both.yaml" --wait --timeout 5
is "$status" 0 'and another'
echo >&6
ok 'what the new policies allow lives on' wait_line "$T/tmp/many.out" "^alive $n\$"
is "$(descendant openshell-proxy)" "$proxy" 'the proxy, too'
exec 6>&-
wait "$many"
control

# The supervisor's: whoever connects to it takes one.
cat >"$T/work/ask.py" <<'PY'
import socket, sys, time
held, quiet = [], 0
for _ in range(120):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect(sys.argv[1])
    s.setblocking(False)
    held.append(s)
print("there", flush=True)
sys.stdin.read(1)
PY
(as_user /usr/bin/python3 "$T/work/ask.py" "$T/run/openshell/small/control" <"$T/tmp/hold" >"$T/tmp/ask.out" 2>&1) &
asks=($!)
(as_user /usr/bin/python3 "$T/work/ask.py" "$T/run/openshell/small/control" <"$T/tmp/hold" >"$T/tmp/ask2.out" 2>&1) &
asks+=($!)
exec 6<>"$T/tmp/hold"
ok "the supervisor's are taken" wait_line "$T/tmp/ask.out" there
ok 'by whoever talks to it' wait_line "$T/tmp/ask2.out" there
run openshell sandbox exec -n small -- true
is "$status" 1 'a command is refused'
one_line_error 'out of file descriptors' 'and told why'
before=$(cpu "$supervisor")
read -r -t 1 _ <&6
at_most $(($(cpu "$supervisor") - before)) 30 'the supervisor does not spin, in hundredths of a second'
is "$(grep -c tcp "$denied_log")" 0 'nothing opens'
exec 6>&-
wait "${asks[@]}"
run openshell logs small -n 0
like "$out" 'a command was refused: out of file descriptors' 'the log says it, too'
control

arena_closed 'out of descriptors|Too many open files'
