#!/bin/bash
# What the user's own programs run or obey later stays as it is inside writable directories, also
# what does not exist yet; and nothing of that protection is left behind.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
cd "$T/work" || exit 1
project="$T/work/my project"
user git init -q "$project"
user git -C "$project" -c user.name=x -c user.email=x@x commit -q --allow-empty -m one
user sh -c 'cd "$1" && mkdir .vscode real && echo "{}" >.vscode/settings.json && echo old >.envrc &&
	echo data >real/mcp && ln -s real/mcp .mcp.json && echo other >"$1/file"' - "$project"
before=$(cd "$project" && find . -printf '%p %y %m %s\n' | sort)
cd "$project" || exit 1

ok 'a sandbox' sandbox guard
see() { run inside guard "$1"; }

# Each of these must fail, whichever way it is tried; the control beside them works.
see 'echo yes >ordinary && mkdir -p src/.config && echo x >src/.config/a && git add ordinary && echo ok'
is "$out" ok 'control: everything else can be written'
see 'git -c user.name=x -c user.email=x@x commit -qm two && git log --oneline | wc -l'
is "$out" 2 'control: git commits'
for path in .git/hooks/pre-commit .git/config .git/config.worktree .git/commondir .git/modules/m/config \
	.gitmodules .mcp.json .claude/settings.json .claude/settings.local.json .claude/commands/x .cursor/mcp.json \
	.vscode/tasks.json .vscode/settings.json .vscode/launch.json .idea/workspace.xml .envrc .codex/config.toml \
	.gemini/settings.json .bashrc .profile .bash_profile .zshrc .zshenv; do
	see "mkdir -p '${path%/*}' 2>/dev/null; echo evil >>'$path'"
	not_ok "$path cannot be written" test "$status" = 0
	see "echo evil >tmp; mv -T tmp '$path'"
	not_ok "$path cannot be replaced" test "$status" = 0
	see "ln -sf /tmp/evil '$path' && test -h '$path' && readlink '$path' | grep evil"
	not_ok "$path cannot become a link" test "$status" = 0
	see "rm -rf '$path'; mkdir -p '${path%/*}' && echo evil >'$path'"
	not_ok "$path cannot be made anew" test "$status" = 0
done
for dir in .git .vscode .claude .git/hooks; do
	see "mv '$dir' away"
	not_ok "$dir cannot be moved away" test "$status" = 0
done
see 'echo evil >>real/mcp; mv real away'
not_ok 'what a protected link leads to neither' test "$status" = 0
see 'ln .git/config alias && echo evil >>alias'
not_ok 'nor through a second name' test "$status" = 0
see 'umount .envrc || mount -o remount,rw .envrc || unshare -Urm umount .envrc'
not_ok 'nor can it be unmounted' test "$status" = 0
see 'git status --short'
unlike "$out" '\.(claude|cursor|bashrc|gitmodules|idea)' 'git inside shows no stub'
run user git -C "$project" status --short
unlike "$out" '\.(claude|cursor|bashrc|gitmodules)' 'nor does git outside'
like "$(cat .vscode/settings.json .envrc real/mcp)" '^old$' 'the files are as they were'
unlike "$(cat .vscode/settings.json .envrc real/mcp .git/config)" evil 'with nothing added'

# A second sandbox in the same directory keeps what it needs when the first one ends.
ok 'a second sandbox' sandbox second
ok 'the first is deleted' openshell sandbox delete guard
run inside second 'mkdir -p .claude; echo evil >.claude/settings.json || echo evil >.bashrc'
not_ok 'the second is still protected' test "$status" = 0
ok 'the second is deleted' openshell sandbox delete second
after=$(find . -printf '%p %y %m %s\n' | grep -vE '^\./(ordinary|src|tmp|away)|^\./\.git/|^\. |^\./\.git d' | sort)
is "$after" "$(grep -vE '^\./\.git/|^\. |^\./\.git d' <<<"$before")" 'nothing is left on the host'
is "$(ls .git)" "$(ls -I commondir -I config.worktree -I modules .git)" 'nor in .git'

# After kill -9 the next command clears away.
settled
ok 'a third sandbox' sandbox third
ok 'has stubs' test -e .cursor
supervisor=$(descendant openshell-trace)
kill -9 "$supervisor"
ok 'its supervisor dies' wait_gone "$supervisor"
openshell sandbox list >/dev/null 2>&1
openshell sandbox create --no-keep --no-auto-providers -- true 2>/dev/null
not_ok 'the stubs are gone' test -e .cursor
ok 'it can be started again' openshell sandbox start third
run inside third 'echo evil >.bashrc'
not_ok 'and is protected again' test "$status" = 0
openshell sandbox delete third

# Somebody's own file that appears in a stub's place is never touched.
ok 'a fourth sandbox' sandbox fourth
user sh -c 'cd "$1" && rm .idea && mkdir .idea && echo mine >.idea/mine' - "$project"
openshell sandbox delete fourth
is "$(cat .idea/mine)" mine "the user's own file in a stub stays"
rm -r .idea

# Programs of the host replace files by renaming others over them: the new one is protected too.
ok 'a fifth sandbox' sandbox fifth
user git config user.name outside
openshell logs fifth --tail >"$T/tmp/fifth.log" 2>/dev/null &
tail_pid=$!
ok 'that is logged' wait_line "$T/tmp/fifth.log" 'FS.*\.git/config.*protected again'
kill "$tail_pid" 2>/dev/null
run inside fifth 'echo evil >>.git/config'
not_ok 'what git config has written cannot be changed' test "$status" = 0
run inside fifth 'git config user.name inside'
not_ok 'nor by git config inside' test "$status" = 0
is "$(user git config user.name)" outside 'it says what the user wrote'
openshell sandbox delete fifth

# The policy can say otherwise, and its own file is protected.
cat >policy.yaml <<EOS
version: 1
filesystem_policy:
  include_workdir: true
  read_only: [/usr, /etc, /lib]
  read_write: ["$project/.envrc", "$project/.claude", /tmp, /sandbox]
EOS
[ "$(id -u)" != 0 ] || chown "$T_UID" policy.yaml
user mkdir .claude
ok 'a sandbox whose policy lists two of them' sandbox listed --policy policy.yaml
run inside listed 'echo changed >.envrc && echo "{}" >.claude/settings.json && echo ok'
is "$out" ok 'these can be written'
run inside listed 'echo evil >.bashrc'
not_ok 'the others cannot' test "$status" = 0
run inside listed 'echo evil >>policy.yaml'
not_ok 'nor can the policy' test "$status" = 0
run openshell sandbox delete listed

# Files whose readers stop at anything that cannot be read: they read as if nothing were said there, and
# git does not see them, so that nobody commits one.
run openshell sandbox create --no-auto-providers -- sh -c 'cat .aider.conf.yml && ls .gemini && git status --short'
is "$status" 0 "aider's settings and gemini's directory can be read where there are none"
is "${out%%$'\n'*}" '{}' 'they say nothing'
unlike "$out" 'aider|gemini' 'and git shows neither'
run openshell sandbox create --no-auto-providers -- sh -c 'echo evil >.aider.conf.yml || mkdir .gemini/x || rm -r .gemini'
not_ok 'neither can be made' test "$status" = 0
user mkdir -p "$T/home/.config/opencode"
run openshell sandbox create --no-auto-providers -- sh -c 'echo evil >opencode.json || mv file opencode.json || rm opencode.json || mkdir .opencode/x || rm -r .opencode'
not_ok 'a missing opencode.json cannot be made either' test "$status" = 0
run openshell sandbox create --no-auto-providers -- sh -c 'cat opencode.json opencode.jsonc && ls .opencode && touch seen &&
	git add -A && git -c user.name=x -c user.email=x@x commit -qm three && git ls-files'
is "$status" 0 'and reads as empty'
like "$out" '^seen$' 'control: what is made is committed'
unlike "$out" opencode 'but not what stands in its place'
not_ok 'nor is it left' test -e opencode.json -o -h opencode.json -o -e .opencode -o -e .aider.conf.yml -o -e .gemini

settled
is "$(leftovers)" '' 'no process is left'
done_testing
