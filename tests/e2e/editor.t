#!/bin/bash
# --editor: the editor of the host is started as it wants to be, and what it then does over ssh works:
# a script for bash on standard input, a SOCKS proxy and forwarded ports to a server inside.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
command -v ssh >/dev/null || skip_all 'no ssh on this host'
# ssh wants its user to have an account, which the one of the tests may lack.
printf 'root:x:0:0::/root:/bin/sh\nperson:x:%s:%s::%s:/bin/sh\n' "$T_UID" "$T_UID" "$T/home" >"$T/tmp/passwd"
person() { user bwrap --dev-bind / / --ro-bind "$T/tmp/passwd" /etc/passwd "$@"; }
user mkdir "$T/bin" "$T/work/my project"
cd "$T/work/my project" || exit 1

# Without the editor: what to do, and the sandbox is there.
run person openshell sandbox create --name desk --editor vscode
is "$status" 1 'without the editor'
like "$err" "^openshell: Visual Studio Code cannot be started: 'code'" 'that is said'
like "$err" "^hint: .*code --remote ssh-remote\+openshell-desk '.*/my project'" 'with the command to type'
like "$err" "ssh/config' now begins with: Include" 'and what became of ~/.ssh/config'
run openshell sandbox list
like "$out" '^desk .*Ready' 'the sandbox runs'

# With one: a stand-in that writes down what it was given.
user sh -c 'printf "#!/bin/sh\nprintf \"%%s\\\\n\" \"\$0\" \"\$@\" >%s/work/args\n" "$1" >"$1/bin/code"; chmod 0755 "$1/bin/code"; cp "$1/bin/code" "$1/bin/cursor"' - "$T"
T_PATH=$T/bin:$T_BIN:/usr/bin:/bin
run person openshell sandbox connect --editor vscode desk
is "$status" 0 'connect --editor'
is "$(cat "$T/work/args")" "$T/bin/code
--remote
ssh-remote+openshell-desk
$T/work/my project" 'code gets the host and the directory'
is "$err" '' 'the settings of ssh have their line already'
is "$(grep -c Include "$T/home/.ssh/config")" 1 'once'
run person openshell sandbox create --name desk-two --editor cursor --workdir "$T/work"
is "$status" 0 'create --editor'
like "$(tr '\n' ' ' <"$T/work/args")" "bin/cursor --remote ssh-remote\+openshell-desk-two $T/work $" 'cursor, too'
for bad in 'create --editor emacs' 'create --editor vscode --no-keep' 'create --editor vscode -o json' 'create --editor vscode -- true' 'connect --editor x desk'; do
	read -ra words <<<"$bad"
	run openshell sandbox "${words[@]}"
	is "$status" 2 "$bad is wrong usage"
done
user sh -c 'printf "#!/bin/sh\nexit 3\n" >"$1/bin/code"' - "$T"
run person openshell sandbox connect --editor vscode desk
is "$status" 1 'an editor that fails'
one_line_error 'openshell-desk. failed' 'is named'

# Somebody's own settings stay, behind a link as well; blocks of sandboxes that are gone go.
user sh -c 'mkdir "$1/dotfiles"; printf "Host mine\n  User me\n" >"$1/dotfiles/ssh"; rm "$1/.ssh/config"; ln -s ../dotfiles/ssh "$1/.ssh/config"' - "$T/home"
openshell sandbox delete desk-two >/dev/null
user sh -c 'printf "#!/bin/sh\n" >"$1/bin/code"' - "$T"
run person openshell sandbox connect --editor vscode desk
like "$(head -1 "$T/home/dotfiles/ssh")" '^Include' 'what a link leads to gets the line'
like "$(cat "$T/home/.ssh/config")" '^  User me$' 'and keeps its own'
ok 'the link stays one' test -h "$T/home/.ssh/config"
is "$(ls "$T/config/openshell/ssh")" desk.conf 'blocks of deleted sandboxes are removed'

# What VS Code does then.
if ! [ -x /usr/sbin/sshd ]; then
	skip 'over ssh' 'no ssh server on this host'
	done_testing
fi
start port_socks "$T_SUPPORT/canary" "$T/tmp/unused.log" # a free port, for the moment
start port_local "$T_SUPPORT/canary" "$T/tmp/unused.log"
# shellcheck disable=SC2154 # start() sets them
kill "$port_socks_pid" "$port_local_pid"
# The server picks its port and says so, as VS Code's does; then it is reached through -D and -L.
cat >"$T/tmp/install.sh" <<'EOS'
set -e
echo "shell: $BASH_VERSION" | head -c 10
mkdir -p ~/.vscode-server/bin
cat >~/.vscode-server/bin/server.py <<'PY'
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"server inside\n")
s = http.server.ThreadingHTTPServer(("127.0.0.1", 47001), Handler)
print("listeningOn==47001==", flush=True)
s.serve_forever()
PY
exec /usr/bin/python3 ~/.vscode-server/bin/server.py
EOS
chmod 0644 "$T/tmp/install.sh"
(T_TIMEOUT=60 person ssh -v -T -D "$port_socks" -L "$port_local:127.0.0.1:47001" openshell-desk bash -s <"$T/tmp/install.sh" >"$T/tmp/server.log" 2>"$T/tmp/server.err") &
ssh_pid=$!
ok 'bash -s over ssh starts the server' wait_line "$T/tmp/server.log" 'listeningOn==47001==' 20
like "$(head -1 "$T/tmp/server.log")" '^shell: 5' 'in bash'
run curl -sS -m $((10 * T_SLOW)) --socks5-hostname "127.0.0.1:$port_socks" http://127.0.0.1:47001/
is "$out" 'server inside' 'it is reached through ssh -D'
run curl -sS -m $((10 * T_SLOW)) "http://127.0.0.1:$port_local/"
is "$out" 'server inside' 'and through ssh -L'
run curl -fsS -m 10 --socks5-hostname "127.0.0.1:$port_socks" http://example.com/
not_ok 'what no policy names is not, through ssh either' test "$status" = 0
run openshell logs desk --since 5m
like "$out" 'action=deny dst_host=example\.com dst_port=80 binary=[^ ]*/sshd' 'and it is logged'
run openshell sandbox delete desk
is "$status" 0 'delete ends it all'
wait "$ssh_pid" 2>/dev/null
settled
is "$(leftovers)" '' 'nothing is left'
done_testing
