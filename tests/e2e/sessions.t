#!/bin/bash
# A day with a sandbox: files in and out, ssh and what is built on it, ports, detaching, stop and start.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
cd "$T/work" || exit 1
ok 'a sandbox' sandbox day

# Files in: what git ignores stays out, links stay links, and git runs nothing of the repository's.
user sh -c 'mkdir -p src/sub "src/build"; cd src; git init -q .; echo build/ >.gitignore; echo o >build/o
	echo hi >a.txt; chmod 755 a.txt; ln -s a.txt link; ln -s /etc/passwd outside; echo x >"-n ame"
	git config core.fsmonitor "touch ../pwned; false"'
run openshell sandbox upload day src
is "$status" 0 'upload a directory'
run inside day 'cd /sandbox/src && find . -mindepth 1 | LC_ALL=C sort | tr "\n" " "; readlink outside; stat -c %A a.txt'
like "$out" '^\./-n ame \./\.gitignore \./a\.txt \./link \./outside /etc/passwd' 'without what git ignores, with links as links'
like "$out" '^-rwx' 'and modes'
not_ok 'the repository had nothing run' test -e pwned
run openshell sandbox upload day src /sandbox/whole --no-git-ignore
run inside day 'cat /sandbox/whole/build/o'
is "$out" o '--no-git-ignore takes everything'
head -c 5000000 /dev/urandom >blob
run openshell sandbox upload day blob /tmp/deep/er/
run openshell sandbox download day /tmp/deep/er/blob back
ok 'a file comes back as it went' cmp blob back
run openshell sandbox upload day absent
is "$status" 1 'a file that is not there'
one_line_error absent 'is named'

# Files out: hostile by assumption.
mkdir victim && ln -s ../victim link
[ "$(id -u)" != 0 ] || chown -h "$T_UID" victim link
inside day 'mkdir -p /sandbox/out/link && echo evil >/sandbox/out/link/file'
run openshell sandbox download day /sandbox/out/link .
is "$(ls victim)" '' 'a download does not go through a link of ours'
run openshell sandbox download day /sandbox/out got
is "$(cat got/link/file 2>/dev/null)" evil 'it goes where it was told'
run openshell sandbox download day /sandbox/absent
is "$status" 1 'nothing to download'
is "$(find . -name '.openshell-download*')" '' 'no leftovers of it'

# ssh, scp, sftp, git. ssh wants its user to have an account, which the one of the tests may lack.
printf 'root:x:0:0::/root:/bin/sh\nperson:x:%s:%s::%s:/bin/sh\n' "$T_UID" "$T_UID" "$T/home" >"$T/tmp/passwd"
person() { user bwrap --dev-bind / / --ro-bind "$T/tmp/passwd" /etc/passwd "$@"; }
person_fg() { user_fg "$T_SUPPORT/ptydrive" "${@:1:6}" -- bwrap --dev-bind / / --ro-bind "$T/tmp/passwd" /etc/passwd "${@:7}"; }
if [ -x /usr/sbin/sshd ] && command -v ssh >/dev/null; then
	run person openshell sandbox ssh-config day
	is "$status" 0 'ssh-config'
	printf '%s\n' "$out" >cfg
	run person ssh -F cfg openshell-day 'echo "$SSL_CERT_FILE"; cat; exit 5' <<<'through'
	is "$status:$out" '5:/run/openshell/ca-bundle.pem
through' 'ssh runs a command with the environment of the sandbox'
	run person scp -q -F cfg blob openshell-day:/tmp/scp
	run inside day 'cmp /tmp/scp /tmp/deep/er/blob'
	is "$status" 0 'scp'
	run person sftp -q -F cfg -b - openshell-day <<<'get /tmp/scp sftp'
	ok 'sftp' cmp blob sftp
	run person git -c core.sshCommand='ssh -F cfg' clone -q openshell-day:/sandbox/whole clone
	ok 'git over it' test -d clone/.git
	if command -v rsync >/dev/null; then
		run person rsync -a -e 'ssh -F cfg' src/ openshell-day:/sandbox/synced/
		run person rsync -a -e 'ssh -F cfg' openshell-day:/sandbox/synced/ back-again
		ok 'rsync, there and back' diff -r --no-dereference src back-again
	else
		skip 'rsync, there and back' 'not installed'
	fi
	run person_fg -t 20 -e 'sandbox@day:~\$ $' -s 'tty; exit 3\n' ssh -F cfg openshell-day
	is "$status" 3 'a shell with a terminal'
	run person ssh -F cfg -W example.com:80 openshell-day <<<$'GET / HTTP/1.0\r\nHost: example.com\r\n\r\n'
	unlike "$out" '200 OK' 'what ssh forwards gets no further than the policy lets sshd go'
	run openshell logs day --since 5m
	like "$out" 'action=deny dst_host=example\.com dst_port=80 binary=[^ ]*/sshd' 'and it is logged'
else
	skip 'ssh' 'no ssh server on this host'
fi

# Ports.
run inside day 'nohup /usr/bin/python3 -c "
import http.server
s = http.server.ThreadingHTTPServer((\"127.0.0.1\", 0), http.server.SimpleHTTPRequestHandler)
print(s.server_port, flush=True)
s.serve_forever()" >/sandbox/port 2>/dev/null & while ! [ -s /sandbox/port ]; do :; done; cat /sandbox/port'
port=$out
run openshell forward start -d "$port" day
is "$status" 0 'forward start -d'
run curl -sS "http://127.0.0.1:$port/"
like "$out" 'Directory listing' 'a server inside is reached'
run openshell forward start "$port" day
is "$status" 1 'a port is forwarded once'
run openshell forward list
like "$out" "^day  *127\.0\.0\.1  *$port " 'forward list'
run openshell forward stop "$port" day
is "$status" 0 'forward stop'
not_ok 'it is closed' curl -s "http://127.0.0.1:$port/"
run openshell forward start -d "$port" day

# Detach and attach; job control.
prompt='sandbox@there:~\$ $'
run user_fg "$T_SUPPORT/ptydrive" -t 20 -e "$prompt" -s 'echo re""ady; cat\n' -e 'ready' -s 'typed\n' \
	-e 'typed' -e 'typed' -s '\x10\x11' -- \
	openshell sandbox create --name there
is "$status" 0 'Ctrl-P Ctrl-Q detaches'
run user_fg "$T_SUPPORT/ptydrive" -t 20 -s 'again\n' -e 'again' -e 'again' -s '\x04' -e "$prompt" -s 'exit 4\n' -- \
	openshell sandbox connect there
is "$status" 4 'connect comes back to the same process'

# Pid 1 inherits what daemons leave behind, and reaps it: the shell sees the orphan gone, and lives on.
run user_fg "$T_SUPPORT/ptydrive" -t 20 -e "$prompt" \
	-s 'cp /bin/sleep /tmp/orphan; (/tmp/orphan 0 &); while pgrep -x orphan >/dev/null; do :; done; echo "re"aped\n' \
	-e 'reaped' -s 'exit 5\n' -- openshell sandbox connect there
is "$status" 5 'the end of a process whose parent is gone ends nothing else'
run openshell logs there
unlike "$out" 'init ended' 'and init is well'

# What the supervisor refuses, it survives.
run openshell sandbox trust day /no/such/program
is "$status" 1 'a program that was never seen cannot be trusted anew'
run openshell sandbox list
like "$out" '^day .*Ready' 'and the sandbox lives on'

# Without its runtime directory (a logout takes it away) a sandbox can be ended, and started again.
run openshell sandbox create --name lost --detach
rm -rf "$T/run/openshell/lost"
run openshell sandbox exec -n lost -- true
is "$status" 1 'without its runtime directory it cannot be reached'
like "$err" '^hint: .*stop lost' 'and one is told what to do'
run openshell sandbox stop lost
is "$status" 0 'it can be stopped'
run openshell sandbox start lost
run openshell sandbox exec -n lost -- true
is "$status" 0 'and started'
rm -rf "$T/run/openshell/lost"
run openshell sandbox delete lost
is "$status" 0 'and deleted'

# Time and signals.
run openshell sandbox exec -n day --timeout 1 -- sleep 1000
is "$status" 124 'exec --timeout'
run openshell sandbox exec -n day -- sh -c 'kill -KILL $$'
is "$status" 137 'a signal'

run openshell sandbox delete day there
is "$status" 0 'delete'
not_ok 'the forward ended with it' curl -s "http://127.0.0.1:$port/"
is "$(leftovers)" '' 'nothing is left'
done_testing
