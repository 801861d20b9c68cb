#!/bin/bash
# Working directories as people have them: git worktrees, links, odd names, paths that are missing.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
repo=$T/work/repo tree="$T/work/other place/tree"
user git init -q "$repo"
user git -C "$repo" -c user.name=x -c user.email=x@x commit -q --allow-empty -m one
user mkdir "$T/work/other place"
user git -C "$repo" worktree add -q "$tree" -b feature
user sh -c 'mkdir "$1/neighbour" && echo secret >"$1/neighbour/file"' - "$T/work"
cd "$tree" || exit 1
ok 'a sandbox in a worktree' sandbox tree
see() { run inside tree "$1"; }
see 'git status --short && echo a >a && git add a && git -c user.name=x -c user.email=x@x commit -qm two && git log --oneline | wc -l'
is "$out" 2 'git works there'
is "$(user git -C "$repo" log --oneline feature | wc -l)" 2 'the commit is in the repository'
for path in hooks/post-commit config commondir worktrees/tree/gitdir worktrees/tree/commondir worktrees/tree/config.worktree; do
	see "echo evil >>$repo/.git/$path"
	not_ok "its .git/$path cannot be written" test "$status" = 0
	see "echo evil >/tmp/x; mv -T /tmp/x $repo/.git/$path"
	not_ok "its .git/$path cannot be replaced" test "$status" = 0
done
see 'echo "gitdir: /tmp/evil" >.git'
not_ok 'nor can the file that names it' test "$status" = 0
see "ls $repo $T/work/neighbour"
not_ok "the repository's own files and its neighbours are not there" test "$status" = 0
ok 'delete' openshell sandbox delete tree
is "$(cd "$repo/.git" && echo commondir* config.w* modul*)" 'commondir* config.w* modul*' 'no stub is left'

# A .git that claims to belong elsewhere is not believed.
user sh -c 'mkdir -p "$1/liar" && echo "gitdir: $1/neighbour" >"$1/liar/.git"' - "$T/work"
cd "$T/work/liar" || exit 1
ok 'a sandbox with a lying .git' sandbox liar
run inside liar "cat $T/work/neighbour/file"
not_ok 'what it names is not granted' test "$status" = 0
run openshell logs liar
like "$out" "git directory '.*neighbour' is not granted" 'and the log says so'
openshell sandbox delete liar >/dev/null 2>&1
user sh -c 'echo ../../tree >"$1/neighbour/commondir"; echo "$1/repo/.git" >"$1/neighbour/gitdir"' - "$T/work"
run openshell sandbox create --no-auto-providers -- cat "$T/work/neighbour/file"
not_ok 'nor when it forges the way back' test "$status" = 0

# Links and names.
user ln -s repo "$T/work/link"
run openshell sandbox create --workdir "$T/work/link" --no-auto-providers -- sh -c 'pwd; ls -d .git/hooks'
like "$out" '/work/repo$' 'a linked working directory is the one it names'
odd="$T/work/odd
name  with 'quotes' \"and\" \$(more) é"
user sh -c 'mkdir "$1" && echo here >"$1/file"' - "$odd"
run openshell sandbox create --workdir "$odd" --no-auto-providers -- sh -c 'cat file; echo new >made; ls -d .envrc; echo x >.envrc || echo protected'
is "$out" 'here
.envrc
protected' 'a name with newline, blanks and quotes'
is "$(cat "$odd/made")" new 'is written to'
is "$(ls -A "$odd")" 'file
made' 'and keeps no stub'
run openshell sandbox create --ro "$odd" --no-auto-providers -- cat "$odd/file"
is "$out" here 'so does --ro'

# Missing paths.
paths() { # COMPATIBILITY
	cat <<-EOS
		version: 1
		filesystem_policy:
		  include_workdir: true
		  read_only: [/usr, /lib, /etc, $T/tmp/absent]
		  read_write: [/sandbox, /tmp]
		landlock:
		  compatibility: $1
	EOS
}
cd "$repo" || exit 1
paths best_effort >"$T/tmp/best.yaml"
paths hard_requirement >"$T/tmp/hard.yaml"
chmod 0644 "$T/tmp/best.yaml" "$T/tmp/hard.yaml"
run openshell sandbox create --name best --keep --policy "$T/tmp/best.yaml" -- echo started
is "$out" started 'best_effort: a missing path is skipped'
like "$err" absent 'with a warning'
run openshell logs best
like "$out" "WARN .*path '.*absent' does not exist and was skipped" 'and an event'
openshell sandbox delete best >/dev/null 2>&1
run openshell sandbox create --policy "$T/tmp/hard.yaml" -- echo started
is "$status" 125 'hard_requirement: it starts nothing'
like "$err" "path '.*absent' does not exist" 'and says why'
is "$(leftovers)" '' 'nothing is left'
done_testing
