#!/bin/bash
# Whatever a protected path refuses is in the log, once for each program; what is let through is not.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
project="$T/work/my project"
user git init -q "$project"
user sh -c 'cd "$1" && mkdir -p .claude/commands .git/hooks real && echo old >.envrc && echo data >real/mcp && ln -s real/mcp .mcp.json' - "$project"
cd "$project" || exit 1
ok 'a sandbox' sandbox guard
n=0

# tried PATH WHAT SCRIPT: the attempt is refused, and the log says so: the path, and who it was.
tried() {
	run inside guard "$3"
	not_ok "$2 is refused" test "$status" = 0
	run openshell logs guard -n 1000
	like "$out" "WARN \[FS\] action=deny path=\"?$project/$1\"? binary=.* deny_reason=\"protected: .*" "$2 is in the log"
	n=$((n + 1))
	is "$(grep -c '\[FS\]' <<<"$out")" "$n" 'in one line'
}
py() { echo "exec /usr/bin/python3 -c 'import os; $1'"; }
tried .git/config 'a write' 'echo evil >.git/config'
tried .envrc 'an append' 'echo evil >>.envrc'
tried .bashrc 'a file that is not there' 'echo evil >.bashrc'
tried .vscode/tasks.json 'below a directory that is not there' "$(py 'open(".vscode/tasks.json", "w")')"
tried .git 'moving the directory' 'exec mv .git away'
tried .zshrc 'replacing' 'echo evil >tmp; exec mv -T tmp .zshrc'
tried .profile 'removing' 'exec rm -f .profile'
tried .git/hooks/pre-commit 'an executable made anew' 'exec cp /usr/bin/true .git/hooks/pre-commit'
tried .claude/commands/x 'a link in a protected directory' 'exec ln -s /tmp/evil .claude/commands/x'
tried .claude/commands/d 'a directory in one' 'exec mkdir .claude/commands/d'
tried .git/hooks 'a mode' 'exec chmod 0777 .git/hooks'
tried real/mcp 'what a protected link leads to' 'exec /usr/bin/tee -a .mcp.json </dev/null'
tried .gitmodules 'relative to a directory' "$(py 'os.open(".gitmodules", os.O_RDWR, dir_fd=os.open(".", os.O_PATH))')"
tried .zshenv 'from another directory, with dots' 'mkdir -p a/b; cd a/b; exec /usr/bin/tee ../../a/../.zshenv'
tried .idea 'through /proc/self/cwd' 'exec /usr/bin/tee /proc/self/cwd/.idea'

# Once for each program and path; another program is another line.
run inside guard 'for i in 1 2 3 4 5; do echo evil >.git/config; done 2>/dev/null; exec /usr/bin/tee .git/config'
run openshell logs guard -n 1000
n=$((n + 1))
is "$(grep -c '\[FS\]' <<<"$out")" "$n" 'a second program is a second line, a second time is none'
run openshell logs guard -n 1000 --format json
like "$out" '"class_uid":2004.*\.envrc|\.envrc.*"class_uid":2004' 'as OCSF it is a finding'

# What may be written is, and is no event; threads that exchange the path behind our back neither
# get through nor stop anybody.
run inside guard 'echo a >fine && mkdir -p x/y && mv fine x/y/ && ln -s a b && chmod 600 x/y/fine && rm b && tar cf t x && tar xf t && git add x && echo done; cat .git/config >/dev/null; head -c 0 .envrc'
is "$out" 'done' 'control: what may be written is written'
cat >race.py <<'PY'
import ctypes, os, threading, time
libc = ctypes.CDLL(None, use_errno=True)
buf = ctypes.create_string_buffer(b"./ordinar", 16)
stop = time.monotonic() + 2
def flip():
    while time.monotonic() < stop:
        buf.value = b".envrc"
        buf.value = b"./ordinar"
t = threading.Thread(target=flip)
t.start()
n = 0
while time.monotonic() < stop:
    fd = libc.open(buf, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    if fd >= 0:
        os.write(fd, b"x")
        os.close(fd)
        n += 1
t.join()
print("some" if n > 100 else n)
PY
run inside guard 'exec /usr/bin/python3 race.py'
is "$out" some 'control: the race gets its own file written'
is "$(cat .envrc)" old 'and the protected one is as it was'
run openshell logs guard -n 1000
unlike "$out" '\[FS\].*(fine|ordinar|/x/)' 'nothing that was let through is in the log'

# A path that cannot be read is the kernel's affair; nobody waits.
run inside guard "exec /usr/bin/python3 -c '
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for addr in (0, 1, 4096, 2**63, 2**64 - 1):
    print(libc.open(ctypes.c_void_p(addr), 1), ctypes.get_errno())'"
is "$(sort -u <<<"$out")" '-1 14' 'bad pointers are EFAULT'
run inside guard "exec /usr/bin/python3 -c '
try: open(\"d/\" * 3000 + \"x\", \"w\")
except OSError as e: print(e.errno)'"
is "$out" 36 'a name too long is ENAMETOOLONG'
run openshell sandbox delete guard

# Without protected paths no such call is asked about.
cd "$T/home" || exit 1
ok 'a sandbox without a directory of its own' sandbox bare
run inside bare 'echo x >/usr/bin/x; echo y >~/y && cat ~/y'
is "$out" y 'writes'
run openshell logs bare
unlike "$out" '\[FS\]' 'and logs nothing of it'
run openshell sandbox delete bare
settled
is "$(leftovers)" '' 'no process is left'
done_testing
