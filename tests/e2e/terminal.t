#!/bin/bash
# Sessions as a person has them, in a real terminal (tmux): sizes, keys, job control, detaching with what
# was said meanwhile; and bytes through pipes, unharmed.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
command -v tmux >/dev/null || skip_all 'tmux is not installed'
cd "$T/work" || exit 1
screen=$T/tmp/screen
tm() { user tmux -S "$T/tmp/tmux" -f /dev/null "$@"; }
: >"$screen"
chmod 0666 "$screen"
printf "PS1='host>\\n'\nPATH=%q\n" "$T_BIN:/usr/bin:/bin" >"$T/tmp/rc"
chmod 0644 "$T/tmp/rc"
tm new-session -d -x 100 -y 30 "exec bash --noprofile --rcfile $T/tmp/rc -i" \; set -g status off \; set -g remain-on-exit on
# Line by line, without the sequences that move the cursor or colour.
tm pipe-pane "exec sed -u 's/\r//g; s/\x1b\[[?0-9;]*[A-Za-z]//g' >>$screen"
# What the last tmux server started is ended with the test.
t_cleanup_pid "$(tm display-message -p '#{pid}')"

# sees REGEX WHAT [SECONDS]: the terminal shows a line with it, since the last keys.
sees() {
	ok "$2" wait_line "$screen" "$1" "${3:-15}"
}
keys() {
	: >"$screen"
	tm send-keys "$@"
}

keys 'openshell sandbox create --name desk' Enter 'echo "$USER@$(hostname)"' Enter
sees '^sandbox@desk$' 'a shell, which takes what was typed before it was there'
keys 'stty size' Enter
sees '^30 100' 'which has the size of the terminal'
tm resize-window -x 120 -y 40
keys 'until [ "$(stty size)" = "40 120" ]; do :; done; echo re""sized' Enter
sees '^resized' 'and follows it'
keys 'echo $TERM; tty; [ -t 0 ] && echo on-a-""terminal' Enter
sees '^on-a-terminal' 'it is one'
keys 'echo be""gun; sleep 1000' Enter
sees '^begun' 'a command that takes its time'
keys C-c 'echo status=$?' Enter
sees '^status=130' 'Ctrl-C ends it, by SIGINT'
keys 'echo be""gun; sleep 1001' Enter
sees '^begun' 'another one'
keys C-z
sees 'Stopped +sleep 1001' 'Ctrl-Z stops one'
keys 'bg; jobs; kill %1; wait %1; echo status=$?' Enter
sees '^status=143' 'job control'
keys 'stty -echo; read -r secret; stty echo; echo got=${#secret}' Enter
keys 'hidden' Enter
sees '^got=6' 'a program may turn the echo off'
unlike "$(cat "$screen")" hidden 'and what is typed then is not shown'

# Detached, the main process goes on; what it said is replayed, the last MiB of it.
keys 'cd; until [ -e go ]; do :; done; seq 300000; echo the-""end; touch done' Enter
sees 'touch done' 'a long output is prepared'
keys C-p C-q
sees '^host>$' 'Ctrl-P Ctrl-Q detaches'
keys 'stty -a | grep -o " icanon"' Enter
sees '^ icanon' 'and the terminal is as it was'
run inside desk 'touch ~/go; while ! [ -e ~/done ]; do :; done'
is "$status" 0 'it runs on, unseen'
keys 'openshell sandbox connect' Enter
sees '^the-end' 'what it said meanwhile is replayed'
at_most "$(stat -c %s "$screen")" 1048576 'the last MiB of it'
ok 'no less' test "$(stat -c %s "$screen")" -gt 900000 # a carriage return of each line is missing
like "$(cat "$screen")" '^299999' 'and in order'
keys 'exit 7' Enter
sees '^host>$' 'exit ends it'
keys 'echo status=$?' Enter
sees '^status=7' 'with the status of the shell'

# Commands without a terminal of their own belong to the job control of the caller's.
keys 'openshell sandbox exec -n desk -T -- sleep 1002' Enter
until sleeper=$(descendant sleep); do :; done
keys C-z
sees 'Stopped +openshell' 'Ctrl-Z stops it'
is "$(ps -o state= -p "$sleeper")" T 'and what it started'
keys 'fg' Enter
sees '^openshell sandbox exec' 'fg goes on'
keys C-c
sees 'host>$' 'Ctrl-C ends it'
keys 'echo status=$?' Enter
sees '^status=130' 'by SIGINT'
keys 'openshell sandbox exec -n desk -- sh -c "kill -TERM \$\$"; echo status=$?' Enter
sees '^status=143' 'the end by a signal'

# One with a terminal of its own runs on in the background, and has the keyboard in the foreground.
keys 'openshell sandbox exec -n desk -- sh -c "until [ -e ~/bg ]; do :; done; rm ~/bg; echo back-gr""ound; read x; echo got-\$x" &' Enter
sees 'host>$' 'one is begun in the background'
run inside desk 'touch ~/bg; while [ -e ~/bg ]; do :; done'
is "$status" 0 'in the background it is not stopped'
sees '^back-ground' 'and what it says appears'
keys 'fg' Enter
sees '^openshell sandbox exec' 'in the foreground'
keys 'typed' Enter
sees '^got-typed' 'it reads what is typed'
sees 'host>$' 'and ends'
tm kill-server

# A hundred megabytes through a pipe, both ways, with every byte there is.
user head -c 100000000 /dev/urandom >"$T/work/bytes"
run user sh -c 'openshell sandbox exec -n desk -- cat <"$1/bytes" | cmp - "$1/bytes"' - "$T/work"
is "$status:$out" '0:' '100 MB through a pipe, unharmed'
run user sh -c 'cat "$1/bytes" | openshell sandbox exec -n desk -- sha256sum | cut -d" " -f1' - "$T/work"
is "$out" "$(sha256sum "$T/work/bytes" | cut -d' ' -f1)" 'binary standard input'
run user sh -c 'openshell sandbox exec -n desk -- sh -c "echo out; echo err >&2" 2>/dev/null'
is "$out" out 'output and error are two'
run user sh -c 'openshell sandbox exec -n desk -- yes | head -1'
is "$out" y 'a reader that goes away ends the writer'

# Two commands at once on one name: one makes it, the other is told.
for i in 1 2 3 4; do
	openshell sandbox create --name race --detach --no-auto-providers -- sleep 1000 >"$T/tmp/race.$i" 2>&1 &
	racers[i]=$!
done
won=0
for i in 1 2 3 4; do wait "${racers[i]}" && won=$((won + 1)); done
is "$won" 1 'of four that make the same name one does'
is "$(cat "$T"/tmp/race.* | grep -c 'exists')" 3 'the others are told that it exists'
run inside race 'echo alive'
is "$out" alive 'and it works'
for i in 1 2 3; do
	openshell sandbox delete race >"$T/tmp/race.$i" 2>&1 &
	racers[i]=$!
done
for i in 1 2 3; do wait "${racers[i]}"; done
run openshell sandbox list -o json
is "$(jq -r '.[].name' <<<"$out")" desk 'deleted by three at once it is gone'
run openshell sandbox delete desk
settled
is "$(leftovers)" '' 'nothing is left'
done_testing
