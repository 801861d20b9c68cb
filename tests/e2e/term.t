#!/bin/bash
# The full-screen view, as it stands on a terminal: tmux is the terminal, capture-pane the eye.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
command -v tmux >/dev/null || skip_all 'no tmux here'
start_origin

socket=$T/tmp/tmux.sock
tm() { user_fg tmux -S "$socket" -f /dev/null "$@"; }
trap 'tm kill-server 2>/dev/null; t_cleanup' EXIT

# "=NAME:" is that session and nothing that its name could also mean.
capture() { tm capture-pane -p "$@" -t "=$pane:"; }
keys() { tm send-keys -t "=$pane:" "$@"; }
size() { tm resize-window -t "=$pane:" -x "$1" -y "$2"; }

# sees REGEX DESCRIPTION: a line of the screen comes to match, within ten seconds.
sees() {
	local shown=''

	for ((i = 0; i < 200; i++)); do
		shown=$(capture)
		grep -qE -e "$1" <<<"$shown" && break
		# Not a wait for something else: the clock of the poll.
		read -r -t 0.05 <>"$T/tmp/never" || :
	done
	like "$shown" "$1" "$2"
}
mkfifo "$T/tmp/never"
[ "$(id -u)" != 0 ] || chown "$T_UID" "$T/tmp/never"

# view NAME SIZE COMMAND: runs it in a new window called NAME, a shell around it that says how it ended.
view() {
	pane=$1
	tm new-session -d -s "$1" -x "${2%x*}" -y "${2#*x}" "trap : INT; stty -a | grep -c -- ' icanon' >$T/tmp/$1.before; \
		$3; r=\$?; stty -a | grep -c -- ' icanon' >$T/tmp/$1.after; echo \"ended \$r\"; exec sleep 600"
}

# --- refusals

run openshell term
is "$status" 1 'without a terminal it refuses'
one_line_error 'wants a terminal' 'and says so'
like "$err" 'hint: .*logs --tail' 'and what to use instead'
run openshell term --theme pink
is "$status" 2 'a theme that is none is wrong usage'
for each in dumb no-such-terminal; do
	view "$each" 80x24 "TERM=$each openshell term"
	sees "^openshell: term: this terminal \(TERM=$each\)" "TERM=$each is refused in one line"
	sees '^ended 1' 'and it ends'
done
view empty 80x24 'openshell term'
sees 'There is no sandbox' 'an empty list says so'
keys q
sees '^ended 0' 'and q quits'

# --- lists

ok 'a sandbox that may do nothing' sandbox demo
ok 'a sandbox that watches' sandbox watcher --audit
in_it() { openshell sandbox exec -n demo -- "$@"; }
run in_it curl -sS --noproxy '*' https://telemetry.test/v1

view t 80x24 'openshell term'
sees '^ openshell  sandboxes +2$' 'the list has a title'
sees '^NAME +PHASE +AGE MODE +REV ALLOWED  DENIED LAST DENIED$' 'columns'
sees '^demo +Ready +[0-9]+s enforce   1 +0 +1 telemetry\.test:443$' 'a sandbox in a line'
sees '^watcher +Ready +[0-9]+s audit +1 +0 +0$' 'and the other'
sees '^ Enter decisions .* \? help$' 'and the keys at the bottom'
is "$(capture | wc -l)" 24 'the screen is full'
keys Enter
sees 'decisions of demo +following' 'Enter shows its decisions'
sees '^[0-9:]{8} deny   TCP       curl         telemetry\.test:443       no matching' 'the denial is there'

# --- live, details, approval

run in_it curl -sS --noproxy '*' https://api.github.com/zen
like "$out" policy_denied 'a request is refused'
sees '^[0-9:]{8} deny   TCP +curl +api\.github\.com:443' 'and appears while one looks'
keys Enter
sees '^ openshell  an event of demo' 'Enter shows the details'
sees '^binary +/usr/bin/curl$' 'who'
sees '^reason +no matching network policy' 'why'
sees '^The rule that would allow it \(not decided on yet\)' 'the rule'
sees '^ +- host: api\.github\.com$' 'as it will stand in the policy'
run openshell rule get demo -o json
rule=$(jq -r '.[] | select(.host == "api.github.com") | .rule' <<<"$out" | grep -v '^version:')
like "$(capture | sed 's/^  //')" "$(sed -n '2p' <<<"$rule")" 'which is the one that rule get shows'
keys a
sees '┌─ Approve\? ─+┐' 'a asks'
for each in 'sandbox +demo' 'binary +/usr/bin/curl' 'host +api\.github\.com' 'port +443' 'method +any: the connection was refused' \
	'  /usr/bin/curl may talk to api\.github\.com:443, uninspected'; do
	sees "│  $each" "about exactly this: $each"
done
# What comes while the question stands does not change what it is about.
run in_it curl -sS --noproxy '*' https://another.test/
sees '│  host +api\.github\.com' 'the question stands while others are refused'
keys y
sees '^ approved: version 2 of the policy decides' 'y approves'
sees 'The rule that would allow it \(the policy allows it by now\)' 'and the details know'
run in_it curl -sS https://api.github.com/zen
like "$out" 'Anything added' 'the same request passes at once'
run in_it curl -sS --noproxy '*' https://another.test/
like "$out" policy_denied 'what came meanwhile does not'
run openshell policy list demo
like "$out" 'term approve' 'the revision says where it comes from'
keys Escape
sees 'decisions of demo' 'Escape goes back'
sees 'allow  L7|allow  CONNECT|allow  TCP' 'what is allowed is seen'

# --- reject

keys G
sees '/[0-9]+$' 'the end'
keys x
sees '┌─ Reject\? ─+┐' 'x asks as well'
sees '│  host +another\.test' 'about the newest'
keys n
sees 'nothing was changed' 'n is no'
keys x
sees 'Reject' 'once more'
keys y
sees 'rejected: it is not proposed again' 'y rejects'
run openshell rule get demo --status rejected
like "$out" 'another\.test' 'and rule get knows'

# --- filters, search, policy, help

keys d
sees 'decisions of demo, denied' 'd shows denials alone'
not_ok 'nothing else' grep -qE '^[0-9:]{8} (allow|audit)' <<<"$(capture)"
keys h
sees '^host:' 'h asks for a host'
keys telem Enter
sees 'denied, host telem +following 1/1' 'and shows those alone'
keys c
sees 'decisions of demo +following' 'c clears the filters'
keys s s
sees 'decisions of demo, gateway' 's goes through the sources'
sees 'POLICY +term approve' 'the policy change is one of the gateway'
keys c
sees 'decisions of demo +following' 'and all of it again'
keys / telemetry Enter
sees 'decisions of demo +2/' 'a search moves the cursor'
keys Enter
sees '^host +telemetry\.test' 'to what was searched for'
keys p
sees '^ openshell  policy of demo' 'p shows the policy'
sees '^ +[1-9][0-9]*  20[0-9-]+ [0-9:]+  .*api\.github\.com:443' 'with the use of its rules'
sees '^ +by /usr/bin/curl' 'and by what'
keys '?'
sees '^ openshell  help' 'a question mark shows help'
sees '^  Enter    decisions of the sandbox' 'of every screen'
keys q
sees 'policy of demo' 'q leaves help'
keys Escape Escape Escape
sees 'sandboxes +2' 'and Escape leads back to the list'

# --- hostile names

evil=$(printf 'a\033]52;c;cm0=\007\033[31m\342\200\256b')
run openshell sandbox exec -n demo -- sh -c "mkdir -p /sandbox/x; cp /usr/bin/curl '/sandbox/x/$evil'; '/sandbox/x/$evil' -sS --noproxy '*' https://evil.test/"
keys Enter
sees 'deny .*evil\.test' 'a program with escapes in its name is seen'
sees 'a\\x1b\]52;c;' 'spelled out'
tm pipe-pane -t "=$pane:" "cat >$T/tmp/raw"
size 100 30
keys C-l Enter
sees '^binary +/sandbox/x/a\\x1b\]52;c;cm0=\\x07\\x1b\[31m\\u\{202e\}b' 'in the details too'
tm pipe-pane -t "=$pane:"
ok 'the terminal was written to' test -s "$T/tmp/raw"
not_ok 'no OSC 52 of it was' grep -qF "$(printf '\033]52')" "$T/tmp/raw"
not_ok 'nor a bidi control' grep -qF "$(printf '\342\200\256')" "$T/tmp/raw"
ok 'control: escapes of our own are in what was written' grep -qF "$(printf '\033[')" "$T/tmp/raw"

# --- resize

size 60 14
sees '^ a approve  x reject' 'a smaller window is drawn anew'
is "$(capture | wc -l)" 14 'all of it'
size 39 9
sees '^40x10 at least; q quits' 'one that is too small says so'
size 80 24
sees '^ openshell  an event of demo' 'and comes back'

# --- stop, end, kill

view job 80x24 "bash --norc -i -c 'openshell term demo; echo stopped \$?; read -r; fg; echo back \$?'"
sees 'decisions of demo' 'a name shows its decisions at once'
keys C-z
sees '^stopped 148' 'Ctrl-Z stops it'
keys Enter
sees 'decisions of demo' 'and fg brings it back'
keys q
sees '^back 0' 'to its end'

view int 80x24 'openshell term'
sees 'sandboxes +2' 'another one'
keys C-c
sees '^ended 130' 'Ctrl-C ends it'
is "$(cat "$T/tmp/int.after")" "$(cat "$T/tmp/int.before")" 'the terminal is as it was'
view killed 80x24 'openshell term'
sees 'sandboxes +2' 'one more'
kill "$(pgrep -P "$(tm list-panes -t "=$pane:" -F '#{pane_pid}')" openshell-term)"
sees '^ended 143' 'SIGTERM ends it'
is "$(cat "$T/tmp/killed.after")" "$(cat "$T/tmp/killed.before")" 'the terminal is as it was'

# --- plain terminals

view vt100 80x24 'TERM=vt100 LC_ALL=C openshell term demo'
sees 'decisions of demo +following' 'a vt100 without UTF-8 shows it'
sees '~$' 'cut texts end with a tilde'
keys a
sees 'would be a pattern' 'a binary whose name is a pattern is not proposed'
keys / telemetry Enter a
sees '\+- Approve\? -+\+' 'and others in a plain frame'
keys n q
sees '^ended 0' 'it ends'
view plain 80x24 'NO_COLOR=1 openshell term demo'
sees 'decisions of demo' 'NO_COLOR shows it'
unlike "$(capture -e)" $'\033\\[[0-9;]*3[0-8]' 'without a colour'
view colour 80x24 'openshell term --theme light demo'
sees 'decisions of demo' 'the control'
like "$(capture -e)" $'\033\\[[0-9;]*3[0-8]' 'has colours'

# --- a sandbox that goes away

pane=t
keys Escape
sees 'decisions of demo' 'back to the events'
run openshell sandbox delete demo
sees 'decisions of demo \(gone\)' 'a deleted sandbox is said to be gone'
sees 'deny .*evil\.test' 'and stays readable'
keys / telemetry Enter a
sees "sandbox 'demo' not found" 'but there is nothing to change any more'
keys Escape
sees '^watcher +Ready' 'the list has the other one'
kill -9 "$(descendant openshell-trace)"
sees '^watcher +Stopped' 'a supervisor that died shows'
keys q
sees '^ended 0' 'the end'

# The terminals of those that still run go away with their server.
mapfile -t views < <(for pid in $("$T_SUPPORT/subreap" --list "$PPID"); do
	grep -qx openshell-term "/proc/$pid/comm" 2>/dev/null && echo "$pid"
done)
is "${#views[@]}" 2 'two views still run'
tm kill-server
for pid in "${views[@]}"; do
	ok 'a view whose terminal is gone ends' wait_gone "$pid"
done
run openshell sandbox delete --all
is "$(leftovers)" '' 'nothing is left'
done_testing
