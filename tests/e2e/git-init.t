#!/bin/bash
# A directory that is no repository can become one inside, as it can outside; what git outside would
# run or obey does not come with it. Repositories below it are the sandbox's, and said to be.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
project="$T/work/a project"
fresh() {
	rm -rf "$project"
	user mkdir "$project"
	cd "$project" || exit 1
}
git_outside() { run user git -C "$project" "$@"; }
setup='git config --global user.name x; git config --global user.email x@x; git config --global init.defaultBranch main;'

# The whole of a beginning: nothing is missing afterwards, and nothing is left beside it.
fresh
run openshell sandbox create --no-auto-providers -- sh -c "$setup"'git init -q && echo a >a && git add -A && git commit -qm one &&
	git branch other && git remote add origin https://example.com/x.git && git config branch.main.remote origin && git tag t && git status --short'
is "$status:$out" '0:' 'git init, add, commit, branch, tag'
git_outside log --oneline --all
like "$out" ' one$' 'the commits are there'
git_outside remote -v
like "$out" '^origin.https://example.com/x.git' 'and the remote'
git_outside status --short
is "$status:$out" '0:' 'git outside is content'
git_outside fsck
is "$status" 0 'with every object'
is "$(ls -A)" '.git
a' 'nothing is left beside it'
is "$(cd .git && echo .git-not* hooks*)" '.git-not* hooks*' 'nor in it'
ok 'from then on it is one like any other' sandbox again
run inside again 'echo evil >.git/config || echo evil >.git/hooks/x || echo evil >>.git/HEAD.x && git log --oneline | wc -l'
is "$out" 1 'whose history is seen inside'
not_ok 'and whose settings are protected' grep -qs evil .git/config .git/hooks/x
run openshell sandbox delete again
settled

# Hostile: every way in which git could be made to run something.
fresh
evil='git init -q && echo a >a && git add a && git commit -qm one; git config core.fsmonitor "touch '"$T"'/work/pwned"; git config core.hooksPath .git/hooks
	git config alias.st "!touch '"$T"'/work/pwned"; git config core.sshCommand "touch '"$T"'/work/pwned"; git config filter.x.clean "touch '"$T"'/work/pwned"; git config filter.x.required true
	git config include.path /tmp/more; git config extensions.worktreeConfig true; git config --worktree core.fsmonitor "touch '"$T"'/work/pwned"; git config remote.o.url "ext::touch '"$T"'/work/pwned"
	printf "#!/bin/sh\ntouch '"$T"'/work/pwned\n" >.git/hooks/post-commit; cp .git/hooks/post-commit .git/hooks/pre-commit; cp .git/hooks/post-commit .git/hooks/post-checkout; chmod +x .git/hooks/*
	cp -r .git .git/modules; ln -s /etc/passwd .git/MERGE_MSG; ln -s /tmp .git/logs2; echo "* filter=x" >.gitattributes; true'
run openshell sandbox create --name hostile --no-keep --no-auto-providers -- sh -c "$setup$evil"
is "$status" 0 'a hostile one is made'
ok 'control: these settings do run what they name' user sh -c 'cd "$1"/.git/.git-not-adopted-* && GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=include.path GIT_CONFIG_VALUE_0="$PWD/config" git -C "$1" status >/dev/null 2>&1; rm "$2"' - "$project" "$T/work/pwned"
git_outside status
is "$status" 0 'git status outside works'
git_outside -c user.name=y -c user.email=y@y commit -q --allow-empty -m two
is "$status" 0 'so does a commit'
git_outside checkout -q -b more
git_outside fetch -q o
not_ok 'nothing of it ran' test -e "$T/work/pwned"
not_ok 'no hook, no module, no link came along' test -e .git/hooks -o -e .git/modules -o -e .git/MERGE_MSG -o -e .git/config.worktree
like "$(cat .git/.git-not-adopted-*/config)" fsmonitor 'what was put aside can be looked at'
run openshell logs hostile
like "$out" 'WARN \[LIFECYCLE\].*without hooks and settings that could run programs: they are in \.git/\.git-not-adopted-' 'the log says where'

# While the sandbox lives there is no repository outside, and nobody can put another one in its place.
fresh
ok 'a sandbox that stays' sandbox stays
run inside stays "$setup"'git init -q; rm -rf .git; git init -q && git commit -q --allow-empty -m one && git config core.fsmonitor "touch '"$T"'/work/pwned"; mv .git x; ln -sT x .git; git init -q --bare x; mv -T x .git; git rev-parse --git-dir'
like "$out" '^\.git$' 'inside it is one'
git_outside rev-parse --git-dir
not_ok 'outside it is none' test "$status" = 0
ok 'a second sandbox there' sandbox second
run inside second 'git rev-parse --git-dir'
is "$out" .git 'has the same repository'
run openshell sandbox delete second
git_outside rev-parse --git-dir
not_ok 'outside it is still none while the first one lives' test "$status" = 0
supervisor=$(descendant openshell-trace)
kill -9 "$supervisor"
ok 'the supervisor dies' wait_gone "$supervisor"
openshell sandbox list >/dev/null 2>&1
run openshell sandbox delete stays
settled
not_ok 'no name of ours is left' test -e .openshell-git
not_ok 'nor did anything run' test -e "$T/work/pwned"

# What is no repository does not become one; an empty directory leaves nothing.
fresh
run openshell sandbox create --name junk --no-keep --no-auto-providers -- sh -c 'ln -s refs/heads/x .git/HEAD; mkdir .git/objects .git/refs; echo "[core] fsmonitor = evil" >.git/config'
not_ok 'a made-up .git is not taken over' test -e .git
is "$(stat -c %a .git-not-adopted-*)" 0 'it is put where nothing looks'
run openshell logs junk
like "$out" 'WARN .*no repository that could stand there' 'and the log says so'
chmod 0700 .git-not-adopted-*
fresh
run openshell sandbox create --no-auto-providers -- true
is "$(ls -A)" '' 'without one nothing is left'

# One that appears outside meanwhile is the user's and stays.
ok 'a sandbox' sandbox both
run inside both "$setup"'git init -q; git commit -q --allow-empty -m inside'
rmdir .git && user git init -q . && user git -c user.name=y -c user.email=y@y commit -q --allow-empty -m outside
run openshell sandbox delete both
settled
git_outside log --format=%s
is "$out" outside "the user's own repository stays"
chmod 0700 .git-not-adopted-*
ok 'the other one is beside it' test -e .git-not-adopted-*/git/HEAD

# Below it: as ever, and said.
fresh
ok 'a sandbox' sandbox below
run inside below 'git init -q made && git clone -q made cloned 2>/dev/null; ls -d made/.git cloned/.git'
is "$out" 'cloned/.git
made/.git' 'git init and git clone below'
run openshell logs below
like "$out" 'WARN \[FS\] path=.*/a project/made/\.git.* binary=.*/git .*git outside would obey' 'the log says that git would obey it'
like "$out" 'WARN \[FS\] path=.*/a project/cloned/\.git' 'of the clone, too'
run openshell sandbox delete below
settled
is "$(leftovers)" '' 'no process is left'
done_testing
