#!/bin/bash
# What a sandbox costs in time: start to end, exec, delete, a new policy.
. "$(dirname "$0")/bench.sh"

# The runtime directory is in memory, as a login's is; the state is wherever the temporary files are.
if runtime=$(user mktemp -d /dev/shm/openshell-bench.XXXXXX 2>/dev/null); then
	T_ENV=(XDG_RUNTIME_DIR="$runtime")
	trap 'rm -rf "$runtime"; t_cleanup' EXIT
fi

# The very arguments that a sandbox gives to bubblewrap, recorded by a bwrap in front of the real one.
mkdir "$T/tmp/rec"
cat >"$T/tmp/rec/bwrap" <<'EOS'
#!/bin/bash
rec=$(dirname "$0") all=()
while [ $# -gt 0 ]; do
	if [ "$1" = --args ]; then
		mapfile -d '' -t more <"/proc/self/fd/$2"
		all+=("${more[@]}")
		shift
	else
		all+=("$1")
	fi
	shift
done
for ((i = 0; i < ${#all[@]}; i++)); do
	case ${all[i]} in
	--bind-fd | --ro-bind-fd | --bind-data | --ro-bind-data | --file)
		fd=${all[i + 1]}
		path=$(readlink "/proc/self/fd/$fd")
		if ! [ -e "$path" ] && cat "/proc/self/fd/$fd" >"$rec/data.$i" 2>/dev/null; then path=$rec/data.$i; fi
		all[i]=--ro-bind
		all[i + 1]=$path
		;;
	--json-status-fd | --info-fd | --block-fd | --sync-fd | --seccomp | --add-seccomp-fd | --userns-block-fd)
		all[i]=
		all[i + 1]=
		;;
	esac
done
[ -s "$rec/args" ] || printf '%s\0' "${all[@]}" >"$rec/args"
EOS
# The wrapper consumes "$@": keep it for the real one.
sed -i '2s/.*/keep=("$@")\n&/' "$T/tmp/rec/bwrap"
printf 'exec %q "${keep[@]}"\n' "$(command -v bwrap)" >>"$T/tmp/rec/bwrap"
chmod 0755 "$T/tmp/rec" "$T/tmp/rec/bwrap"
chown "$T_UID" "$T/tmp/rec"

# The sandbox that the wrapper saw, in $bare: its arguments for bubblewrap.
record() { # NAME
	rm -f "$T/tmp/rec/args"
	T_PATH=$T/tmp/rec:$T_BIN:/usr/bin:/bin openshell sandbox create --name "$1" --keep --no-auto-providers -- true
	bare=()
	while IFS= read -r -d '' arg; do
		[ "$arg" = -- ] && break # what is not an option any more is the command
		[ -n "$arg" ] && bare+=("${arg//$T\/work/$T\/tmp\/yard}")
	done <"$T/tmp/rec/args"
}

against_bare() { # LABEL REMARK [BUDGET]
	if ! T_TIMEOUT=5 user bwrap "${bare[@]}" -- /usr/bin/true; then
		bench_absent "$1" "the recorded bwrap arguments do not run alone"
		return
	fi
	read -r ours theirs < <(T_TIMEOUT=120 user "$T_BENCH/pairs" -n 31 -- "$T_BIN/openshell" sandbox create \
		--no-auto-providers -- /usr/bin/true --- bwrap "${bare[@]}" -- /usr/bin/true)
	bench "$1" "$(ms "$ours")" ms "$(ms "$theirs")" "${3:-<=2.0x}" "n=31 pairs, whole process, $2, bwrap with the same mounts (${#bare[@]} arguments)"
}

# Without a project, every mount is bubblewrap's.
cd / || exit 1
record none
against_bare create_true_no_project 'from /'
if [ -n "$runtime" ]; then
	T_ENV+=(XDG_STATE_HOME="$runtime/state")
	against_bare create_true_in_memory 'from /, the state directory in memory as well' -
	T_ENV=(XDG_RUNTIME_DIR="$runtime")
else
	bench_absent create_true_in_memory 'no /dev/shm here'
fi
openshell sandbox delete none >/dev/null
cd "$T/work" || exit 1

# In a project, protected names are mounted by us after bubblewrap has gone: the yardstick mounts
# something on the same names, in a directory of its own, for its mount points stay behind.
record rec
install -d -o "$T_UID" "$T/tmp/yard" "$T/tmp/rec/dir"
: >"$T/tmp/rec/file"
chmod 0644 "$T/tmp/rec/file"
while read -r kind at; do
	bare+=(--ro-bind "$T/tmp/rec/$kind" "$T/tmp/yard/$at")
done < <(openshell sandbox exec -n rec -- sh -c 'while read -r _ _ _ _ at _; do
	case $at in "$0"/*) if [ -d "$at" ]; then echo dir "${at#"$0/"}"; else echo file "${at#"$0/"}"; fi ;; esac
done </proc/self/mountinfo' "$T/work")
against_bare create_true 'from a project directory'

read -r ours theirs < <(T_TIMEOUT=120 user "$T_BENCH/pairs" -n 31 -- bwrap "${bare[@]}" -- /usr/bin/true --- \
	bwrap --unshare-all --ro-bind / / /usr/bin/true)
bench bwrap_same_mounts "$(ms "$ours")" ms "$(ms "$theirs")" - "n=31 pairs, the yardstick itself against bwrap --unshare-all --ro-bind / /"

n=101
read -r ours _ < <(user "$T_BENCH/pairs" -n $n -- openshell sandbox exec -n rec -- /usr/bin/true)
bench exec_true "$(ms "$ours")" ms - '<=5ms' "n=$n, whole process, a sandbox that runs"

policy() { # FILE, a path that makes it differ
	echo 'version: 1'
	sed -n '/^filesystem_policy/,/^network_policies/p' "$T_EXAMPLES/sandbox-policy-quickstart/policy.yaml"
	for i in 0 1 2 3 4 5 6 7 8 9; do
		printf '  p%d:\n    endpoints:\n      - { host: h%d.%s.test, port: 443, protocol: rest, enforcement: enforce, access: read-only }\n    binaries: [ { path: /usr/bin/curl } ]\n' $i $i "$1"
	done
}
policy a >"$T/work/a.yaml"
policy b >"$T/work/b.yaml"
n=25
read -r ours theirs < <(T_TIMEOUT=120 user "$T_BENCH/pairs" -n $n -- openshell policy set rec --policy "$T/work/a.yaml" --wait --- \
	openshell policy set rec --policy "$T/work/b.yaml" --wait)
bench policy_set "$(ms "$ours")" ms - '<=20ms' "n=$n, whole process of policy set --wait, 10 inspected endpoints, two policies in turn"
openshell sandbox delete rec >/dev/null

n=15
read -r ours _ < <(T_TIMEOUT=120 user "$T_BENCH/pairs" -n $n -w 2 \
	-p 'openshell sandbox create --name del --keep --no-auto-providers --detach -- sleep 1000 >/dev/null 2>&1' -- openshell sandbox delete del)
bench delete "$(ms "$ours")" ms - '<=30ms' "n=$n, whole process, a running sandbox with one command"

# Granting a tree of a thousand directories must not cost one directory read more.
reads() { # FLAGS...: getdents64 calls of every process from start to end
	user strace -f -qq -e trace=getdents64 -o "$T/tmp/trace" openshell sandbox create --no-auto-providers "$@" -- /usr/bin/true
	grep -c getdents64 "$T/tmp/trace"
}
if command -v strace >/dev/null; then
	user sh -c 'cd "$0" && seq 1000 | xargs mkdir' "$(user mktemp -d "$T/work/tree.XXXXXX")"
	without=$(reads)
	with=$(reads --ro "$(echo "$T"/work/tree.*)")
	bench trees_walked $((with - without)) reads - '<=0' "getdents64 calls that granting a tree of 1000 directories adds to $without (state of our own, bwrap, /proc)"
else
	bench_absent trees_walked 'strace is not installed'
fi
