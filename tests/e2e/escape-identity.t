#!/bin/bash
# Who asks, while that changes (threats.md 3, 4): the task executes another program, dies and its number
# goes to somebody else, or shares its memory and descriptors with a child that becomes the allowed one.
# The exact moments of 3 are those of tests/unit/test_stale.c.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
arena races
control
heard=$(grep -c tcp "$allowed_log")
cat >"$T/work/exec.py" <<'PY'
# Not allowed itself; becomes the allowed program while its threads ask.
import os, random, socket, sys, threading, time
attack, rounds = sys.argv[1], int(sys.argv[2])
to = socket.getaddrinfo("allowed.test", 7000, socket.AF_INET, socket.SOCK_STREAM)[0][4]

def ask():
    while True:
        s = socket.socket()
        try:
            s.connect(to)
        except OSError:
            pass
        s.close()

for _ in range(rounds):
    pid = os.fork()
    if pid == 0:
        for _ in range(3):
            threading.Thread(target=ask, daemon=True).start()
        time.sleep(random.random() / 50)
        os.execv(attack, [attack, "nothing"])
    os.waitpid(pid, 0)
print("done")
PY
cat >"$T/work/reuse.py" <<'PY'
# Asks and is killed, while others take the number and execute the allowed program.
import os, random, signal, socket, sys, time
attack, rounds = sys.argv[1], int(sys.argv[2])
to = socket.getaddrinfo("allowed.test", 7000, socket.AF_INET, socket.SOCK_STREAM)[0][4]
for _ in range(rounds):
    pid = os.fork()
    if pid == 0:
        while True:
            s = socket.socket()
            s.connect_ex(to)
            s.close()
    time.sleep(random.random() / 100)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    for _ in range(4):
        child = os.posix_spawn(attack, [attack, "nothing"], {})
        os.waitpid(child, 0)
print("done")
PY
chmod 0644 "$T/work/"*.py
for way in exec reuse; do
	T_TIMEOUT=60 run inside races "/usr/bin/python3 $T/work/$way.py $T/work/attack 60 2>/dev/null | tail -1"
	is "$out" 'done' "$way: the attempts were made"
	is "$(grep -c tcp "$allowed_log")" "$heard" "$way: none went out under the other's name"
done

# The same program under another name is not allowed; so is what it connects while its twin is allowed.
cp "$T/work/attack" "$T/work/evil"
chmod 0755 "$T/work/evil"
T_TIMEOUT=60 run openshell sandbox exec -n races -- "$T/work/evil" clone-vm allowed.test 7000 100 "$T/work/attack"
like "$out" '^clone-vm: 0 of [1-9]' 'a child that becomes the allowed program lends it nothing'
is "$(grep -c tcp "$allowed_log")" "$heard" 'and its canary is silent'
run openshell sandbox exec -n races -- "$T/work/attack" hand-over allowed.test 7000 "$T/work/evil" use-handed allowed.test 7000
like "$(outcome 'handed over')" '^E' 'a socket that the allowed program opened is judged by who connects it'
run openshell sandbox exec -n races -- "$T/work/evil" hand-over allowed.test 7000 "$T/work/attack" use-handed allowed.test 7000
is "$(outcome 'handed over')" ok 'control: and the other way round'
control
arena_closed 'WARN \[TCP\] action=deny dst_host=allowed\.test .*binary=/usr/bin/python3'
