#!/bin/bash
# Bad input: one line that says what and where, the exit status of cli.md, and nothing changed.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
cd "$T/work" || exit 1
bad() { # STATUS REGEX DESCRIPTION COMMAND...
	local want=$1 re=$2 what=$3

	shift 3
	run "$@"
	is "$status" "$want" "$what: exit $want"
	one_line_error "$re" "$what: one line"
}

printf 'version: 1\n' >fine.yaml
bad 2 'nonsense' 'unknown command' openshell nonsense
bad 2 'frob' 'unknown subcommand' openshell sandbox frob
bad 2 'bogus' 'unknown flag' openshell sandbox create --bogus
bad 2 'name' 'flag without its value' openshell sandbox create --name
bad 2 'tty' 'flags that exclude each other' openshell sandbox create --tty --no-tty -- true
bad 2 'Upper_Case' 'a name that is none' openshell sandbox create --name Upper_Case -- true
bad 2 'gpu' 'a flag that only a cluster has' openshell sandbox create --gpu -- true
bad 2 'carrot' 'an output format that is none' openshell sandbox list -o carrot
bad 2 'soon' 'a time that is none' openshell logs x --since soon
bad 2 'connect-to' 'a --connect-to that is none' openshell sandbox create --connect-to nonsense -- true
bad 2 'its own there' 'a working directory that would be lost' openshell sandbox create --workdir /tmp -- true
bad 127 "'no-such'.*not found" 'a command that is nowhere' openshell sandbox create -- no-such
bad 126 "'/etc/passwd'.*Permission denied" 'one that is no program' openshell sandbox create -- /etc/passwd
user sh -c 'mkdir -p "$1/tools" && printf "#!/bin/sh\necho found\n" >"$1/tools/mytool" && chmod 755 "$1/tools/mytool"' - "$T/home"
T_PATH="$T/home/tools:$T_BIN:/usr/bin:/bin" bad 127 "'mytool'.*not found" 'one that is there outside' openshell sandbox create -- mytool
like "$err" "^hint: outside it is '$T/home/tools/mytool'.*--ro $T/home/tools/mytool" 'where it is, and what grants it'
run openshell sandbox create --ro "$T/home/tools/mytool" -- "$T/home/tools/mytool"
is "$out" found 'and that does'
run openshell sandbox create --ro "$T_BIN" -- "$T_BIN/openshell" doctor
is "$status" 1 'inside a sandbox there are none'
like "$out" "mend:  this is inside the openshell sandbox '" 'and doctor says why'
run openshell sandbox create -- sh -c 'echo $#' - $(seq 50000)
is "$out" 50000 'a long command line is none'
bad 1 'absent' 'an unknown sandbox' openshell sandbox get absent
bad 1 'absent' 'to connect to' openshell sandbox connect absent
bad 1 'absent' 'to run a command in' openshell sandbox exec -n absent -- true
bad 1 'absent' 'to give a policy' openshell policy set absent --policy fine.yaml
bad 1 'absent' 'to read the log of' openshell logs absent
is "$(state_files | grep -c sandboxes/)" 0 'none of that left anything'

ok 'a sandbox' sandbox taken
bad 1 'taken' 'a name that is taken' openshell sandbox create --name taken --keep -- true
run openshell policy get taken -o json
rev=$(jq .version <<<"$out")
hash=$(jq -r .hash <<<"$out")

policy() { # NAME, text on standard input
	cat >"$T/work/$1"
}
policy not.yaml <<<'key: [unclosed'
policy scalar.yaml <<<'just words'
policy unknown.yaml <<'EOS'
version: 1
network_policies:
  p:
    endpoints:
      - { host: a.test, port: 443, protocl: rest }
    binaries: [ { path: /usr/bin/curl } ]
EOS
policy type.yaml <<'EOS'
version: 1
network_policies:
  p:
    endpoints:
      - { host: a.test, port: https }
    binaries: [ { path: /usr/bin/curl } ]
EOS
policy version.yaml <<<'version: 7'
policy twice.yaml <<<$'version: 1\nversion: 1'
policy alias.yaml <<<$'version: 1\nnetwork_policies: &a {}\nx: *a'
policy empty.yaml </dev/null
head -c 12000000 /dev/zero | tr '\0' 'a' >huge.yaml
printf 'version: 1\n\0' >nul.yaml

set_policy() { openshell policy set taken --policy "$1" --wait; }
bad 1 'no-such-file\.yaml' 'a policy file that is missing' set_policy no-such-file.yaml
bad 1 'not\.yaml.*[: ][12]:' 'one that is not YAML' set_policy not.yaml
bad 1 'scalar\.yaml' 'one that is no mapping' set_policy scalar.yaml
bad 1 'unknown\.yaml.*[: ]5:.*protocl' 'an unknown field, with its line' set_policy unknown.yaml
bad 1 'type\.yaml.*[: ]5:.*port' 'a wrong type, with its line' set_policy type.yaml
bad 1 'version\.yaml' 'another version' set_policy version.yaml
bad 1 'twice\.yaml.*[: ]2:' 'a duplicate key' set_policy twice.yaml
bad 1 'alias\.yaml' 'an alias' set_policy alias.yaml
bad 1 'empty\.yaml' 'an empty file' set_policy empty.yaml
bad 1 'huge\.yaml' 'twelve megabytes' set_policy huge.yaml
bad 1 'nul\.yaml' 'a NUL byte' set_policy nul.yaml
bad 1 'work' 'a directory' set_policy "$T/work"
run openshell policy get taken -o json
is "$(jq .version <<<"$out"):$(jq -r .hash <<<"$out")" "$rev:$hash" 'the policy is what it was'
run openshell policy check unknown.yaml
is "$status" 1 'policy check refuses it too'
like "$err$out" 'unknown\.yaml:5:[0-9]+: .*protocl' 'as file:line:column'
bad 125 'not\.yaml' 'create with a bad policy' openshell sandbox create --policy not.yaml -- true

# What a command's end looks like.
for n in 0 1 42 125 255; do
	run openshell sandbox create --no-auto-providers -- sh -c "exit $n"
	is "$status" "$n" "exit $n of the command"
done
run openshell sandbox create --no-auto-providers -- sh -c 'kill -TERM $$'
is "$status" 143 'a signal is 128 + its number'
run openshell sandbox create --no-auto-providers -- /no/such/program
is "$status" 127 'a program that is not there'
run openshell sandbox create --no-auto-providers -- /etc/passwd
is "$status" 126 'one that cannot run'
printf 'echo "$1 $0"\n' >"$T/work/script"
printf '\177ELF of another machine' >"$T/work/foreign"
chmod 0755 "$T/work/script" "$T/work/foreign"
run openshell sandbox create --no-auto-providers -- ./script 'ran as'
is "$status:$out" '0:ran as ./script' 'a script that names no interpreter is the shell'"'"'s'
run openshell sandbox create --no-auto-providers -- ./foreign
is "$status" 126 'a program of another machine is not'
like "$err" 'Exec format error' 'and says so'
run openshell sandbox create --no-auto-providers -- sh -c 'cat; echo err >&2' <<<'through'
is "$out:$err" 'through:err' 'streams are untouched'
head -c 3000000 /dev/urandom >"$T/tmp/blob"
openshell sandbox create --no-auto-providers -- cat <"$T/tmp/blob" >"$T/tmp/blob.out"
ok 'binary and long as well' cmp "$T/tmp/blob" "$T/tmp/blob.out"
run openshell sandbox create --no-auto-providers -- readlink /proc/self/fd/0
is "$out" /dev/null 'the very same descriptor'

run openshell sandbox delete taken
is "$status" 0 'delete'
run openshell sandbox delete taken
like "$out$err" 'not found' 'twice says so'

# Hosts on which no sandbox can start.
T_ENV=(XDG_STATE_HOME=/no/such)
bad 125 "cannot create '/no'" 'a state directory that cannot be made' openshell sandbox create -- true
like "$err" '^hint: set XDG_STATE_HOME to a directory' 'and what to do, without saying twice what is wrong'
T_ENV=()
bad 125 'File too large' 'no room for files of any size' user bash -c '(ulimit -f 0; openshell sandbox create -- true) 2>&1 | cat >&2; exit "${PIPESTATUS[0]}"'
like "$err" "^hint: .*ulimit -f" 'and what to do'

# What may hold a password is not repeated.
run openshell sandbox create --no-auto-providers --upstream-proxy 'https://me:S3CRET@proxy.test:1' -- true
is "$status" 2 'a proxy that is no http:// URL is refused'
one_line_error 'upstream-proxy.*http://' 'with the reason'
unlike "$out$err" S3CRET 'and without its password'

# A host that cannot.
mkdir "$T/tmp/path"
for program in sh true env cat; do ln -s "$(command -v $program)" "$T/tmp/path/"; done
T_PATH=$T/tmp/path run user "$T_BIN/openshell" sandbox create --no-auto-providers -- true
is "$status" 125 'without bubblewrap: 125'
one_line_error 'bubblewrap|bwrap' 'it says so'
like "$err" '^hint: .*install' 'and what to do'
T_PATH=$T/tmp/path run user "$T_BIN/openshell" doctor
is "$status" 1 'doctor fails there'
like "$out$err" 'bubblewrap|bwrap' 'and names it'
run user bwrap --unshare-user --disable-userns --dev-bind / / --proc /proc "$T_BIN/openshell" sandbox create --no-auto-providers -- true
is "$status" 125 'without user namespaces: 125'
one_line_error 'namespace' 'it says so too'
# No set-uid program is involved.
run user setpriv --no-new-privs "$T_BIN/openshell" sandbox create --no-auto-providers -- echo rootless
is "$out" rootless 'it works where no set-uid program can'

is "$(leftovers)" '' 'nothing is left'
is "$(state_files | grep -v -e archive -e last_ | grep -c '/sandboxes/')" 0 'no state either'
done_testing
