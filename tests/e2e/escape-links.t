#!/bin/bash
# Links out of the working directory (threats.md 46): what is not granted is not there to be linked to.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
user sh -c 'mkdir "$HOME/.ssh"; echo private >"$HOME/.ssh/id"; ln -s "$HOME/.ssh" "$0/out"; ln -s /etc/shadow "$0/shadow"; ln -s ../home "$0/up"' "$T/work"
arena links
run user cat "$T/work/out/id"
is "$out" private 'control: outside, the link leads to the file'
run inside links 'cat out/id up/.ssh/id shadow; cat ../home/.ssh/id; cat /proc/self/root/../home/.ssh/id; cat /proc/1/root'"$T"'/home/.ssh/id'
unlike "$out" 'private|root:' 'inside, it leads nowhere'
run inside links "echo evil >out/id; echo evil >up/.ssh/authorized_keys; ln /etc/passwd hard; ln -s $T/home/.ssh late; echo evil >late/id"
is "$(cat "$T/home/.ssh/id")" private 'and nothing is written through it'
is "$(ls "$T/home/.ssh")" id 'or beside it'
run inside links 'mv . ../gone; mv /tmp/.. /x; rmdir ../work'
ok 'the working directory stays where it is' test -d "$T/work"
arena_closed ''
