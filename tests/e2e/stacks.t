#!/bin/bash
# --stacks: the log has the code that asked, whoever asked and however. No lie about it does harm.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
cp "$T_SUPPORT/caller" "$T_SUPPORT/caller-static" "$T/work/"
cd "$T/work" || exit 1

# logged COMMAND...: what the log of a sandbox that ran it says, with its stacks.
n=0
logged() {
	n=$((n + 1))
	run openshell sandbox create --name "s$n" --no-keep --no-auto-providers --stacks "${flags[@]}" -- "$@"
	log=$(openshell logs --stacks "s$n" -n 0)
}
flags=()

# frames_from FUNCTION: the stack below the first denial, from that function outwards, names only.
frames_from() {
	sed -n '/action=deny/,$p' <<<"$log" | sed -n 's/^    #[0-9]* *\([A-Za-z_]*\)+0x.*  .*/\1/p' |
		sed -n "/^$1\$/,\$p" | head -3 | paste -sd' '
}

# A program that loads libraries.
logged ./caller 192.0.2.1 4444 call
is "$out" ECONNREFUSED 'the call is answered as without'
is "$(frames_from knock_at_the_door)" 'knock_at_the_door pay_a_visit main' 'the stack names the functions'
like "$log" 'stack by=preload \(a hint' 'and says that it is a hint'
like "$log" "#0  knock_at_the_door\\+0x[0-9a-f]+  $T/work/caller\\+0x[0-9a-f]+\$" 'with module and offset, our own frames left out'
like "$log" 'sandbox started: .* stacks=on' 'the first line of the log says that stacks are taken'
unlike "$(openshell logs "s$n")" 'knock_at_the_door|stack by=' 'without --stacks the log shows none'
openshell logs "s$n" --format json | jq -c 'select(.unmapped.decision == "deny").unmapped.stack' >"$T/tmp/stack.json"
is "$(jq -r '.by, (.frames | length > 3), .frames[0].module, .frames[0].symbol' "$T/tmp/stack.json" | paste -sd' ')" \
	"preload true $T/work/caller null" 'JSON has the frames, and no names unless asked for'
openshell logs "s$n" --stacks -o json | jq -c 'select(.unmapped.decision == "deny").unmapped.stack' >"$T/tmp/stack.json"
is "$(jq -r '.frames[0].symbol' "$T/tmp/stack.json")" knock_at_the_door 'with --stacks it has names'

# Names are given from the file that was mapped and from no other.
cp caller caller.kept && cp "$(type -P true)" caller
unlike "$(openshell logs --stacks "s$n")" 'knock_at_the_door' 'another file by that name gives no names'
mv caller.kept caller
like "$(openshell logs --stacks "s$n")" 'knock_at_the_door' 'the same file again does'

# However it is called.
for way in thread vfork fork signal; do
	logged ./caller 192.0.2.1 4444 "$way"
	is "$(frames_from knock_at_the_door | cut -d' ' -f1,2)" 'knock_at_the_door pay_a_visit' "$way"
	is "$(grep -c 'stack by=preload' <<<"$log")" "$(grep -c ECONNREFUSED <<<"$out")" "$way: each call has its stack"
done
logged ./caller 192.0.2.1 4444 udp
is "$(frames_from knock_at_the_door | cut -d' ' -f1,2)" 'knock_at_the_door pay_a_visit' 'a datagram'

# From outside: nobody lends anything.
logged ./caller 192.0.2.1 4444 raw
is "$(frames_from raw | cut -d' ' -f1,2)" 'raw main' 'a system call past the library'
like "$log" 'stack by=ptrace$' 'is looked at from outside'
for way in call thread vfork signal; do
	logged ./caller-static 192.0.2.1 4444 "$way"
	is "$(frames_from knock_at_the_door | cut -d' ' -f1,2)" 'knock_at_the_door pay_a_visit' "static: $way"
	like "$out" '^ECONNREFUSED$' "static: $way: the call is answered as without"
	is "$(grep -c 'stack by=ptrace' <<<"$log")" "$(grep -c ECONNREFUSED <<<"$out")" "static: $way: each has its stack"
done

# Interpreters and compilers.
logged python3 -c 'import socket; socket.create_connection(("192.0.2.1", 4444))'
like "$log" '_PyEval_EvalFrameDefault' 'Python'
logged node -e 'require("net").connect(4444, "192.0.2.1").on("error", e => console.log(e.code))'
is "$out" ECONNREFUSED 'Node gets its answer'
like "$log" 'uv__?tcp_connect' 'and its stack is there'
logged bash -c 'exec 3<>/dev/tcp/192.0.2.1/4444'
like "$log" '/bin/bash\+0x' 'bash'

# What the user preloads stays first, and what clears its environment is looked at from outside.
flags=(--env LD_PRELOAD=/nowhere/mine.so)
# shellcheck disable=SC2016 # inside
logged sh -c 'echo "$LD_PRELOAD"'
is "$out" '/nowhere/mine.so:/run/openshell/libopenshell-preload.so' 'a LD_PRELOAD of the user stays, in front'
flags=()
logged env -i ./caller 192.0.2.1 4444 call
like "$log" 'stack by=ptrace' 'an empty environment hides nothing'
is "$(frames_from knock_at_the_door)" 'knock_at_the_door pay_a_visit main' 'and the stack is the same'

# Where the supervisor traces everybody, it asks nobody to stop.
flags=(--intercept ptrace)
for program in caller caller-static; do
	logged "./$program" 192.0.2.1 4444 thread
	is "$(frames_from knock_at_the_door | cut -d' ' -f1,2)" 'knock_at_the_door pay_a_visit' "ptrace: $program"
done
like "$log" 'stack by=ptrace$' 'ptrace: without the library by the tracer'
flags=()

# Audit: the proxy has the stack of what it lets through.
start_origin
flags=(--audit)
logged curl -sS --noproxy '*' https://api.github.com/zen
like "$out" 'Anything added dilutes everything else\.' 'audit: the request succeeds'
like "$(grep -A9 'TCP.*action=audit' <<<"$log")" 'curl_easy_perform' 'and the connection has the stack that made it'
flags=()

# Many at once wait their turn, and nobody is given up for it.
logged sh -c 'for i in $(seq 40); do ./caller-static 192.0.2.1 4444 thread & ./caller 192.0.2.1 4444 thread & done; wait'
is "$(grep -c ECONNREFUSED <<<"$out")" 80 'eighty callers at once get their answers'
# Floods are folded: a line with a count stands for as many.
with_stack=$(sed -nE 's/.* stack=(preload|ptrace):[0-9]+( count=([0-9]+))?.*/\3/p' <<<"$log" | awk '{ n += $1 ? $1 : 1 } END { print n }')
is "$with_stack" 80 'and each has its stack'

# Lies.
while pid=$(descendant openshell-trace); do wait_gone "$pid" 10; done
openshell sandbox create --name liar --detach --no-auto-providers --stacks >/dev/null
pid_before=$(descendant openshell-trace)
for lie in none wild loop borrowed; do
	run openshell sandbox exec -n liar -- ./caller 192.0.2.1 4444 "$lie"
	like "$out" '^ECONNREFUSED$' "a lie ($lie) gets the answer of everybody"
	unlike "$out" '^(ok|E[^C].*)$' "a lie ($lie) gets no other"
done
run openshell sandbox exec -n liar -- ./caller 192.0.2.1 4444 call
is "$out" ECONNREFUSED 'an honest call after it is judged'
log=$(openshell logs --stacks liar -n 0)
is "$(grep -c 'action=deny' <<<"$log")" 8 'every call is in the log'
is "$(grep -c '^    stack by=' <<<"$log")" 8 'and each says what became of its stack'
like "$log" 'by=none: its registers lead nowhere' 'registers that lead nowhere are no stack'
at_most "$(sed -n 's/^    #\([0-9]*\) .*/\1/p' <<<"$log" | sort -n | tail -1)" 47 'a stack without end is cut'
like "$log" 'by=preload \(a hint' 'and what was lent is a hint'
log=$(openshell logs --stacks liar -n 1)
is "$(frames_from knock_at_the_door)" 'knock_at_the_door pay_a_visit main' 'the honest one is named'
is "$(descendant openshell-trace)" "${pid_before:-none}" 'the supervisor is the one it was'

# The unwinder is killed as often as anybody likes: calls are answered, and it comes back.
unwinder=$(descendant openshell-unwin)
ok 'the unwinder runs' test -n "$unwinder"
is "$(sed -n 's/^Seccomp:\t//p' "/proc/$unwinder/status")" 2 'behind a filter of its own'
kill -9 "$unwinder"
run openshell sandbox exec -n liar -- ./caller 192.0.2.1 4444 raw
is "$out" ECONNREFUSED 'without it calls are answered'
run openshell sandbox exec -n liar -- ./caller-static 192.0.2.1 4444 call
log=$(openshell logs --stacks liar -n 1)
like "$log" 'knock_at_the_door' 'and the next one has its stack again'

# One that does not answer holds nobody up for longer than a second, however many there are.
cat >"$T/work/crowd.py" <<'PY'
import socket, threading
gate, answers = threading.Barrier(600), []
def knock():
    gate.wait()
    try:
        socket.create_connection(("192.0.2.1", 4444))
    except OSError as e:
        answers.append(type(e).__name__)
threads = [threading.Thread(target=knock) for _ in range(600)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print(answers.count("ConnectionRefusedError"), len(answers))
PY
chmod 0644 "$T/work/crowd.py"
kill -STOP "$(descendant openshell-unwin)"
run openshell sandbox exec -n liar -- python3 "$T/work/crowd.py"
is "$out" '600 600' 'with an unwinder that is stopped six hundred calls at once are answered'
log=$(openshell logs --stacks liar -n 0)
like "$log" 'by=none: too many at once' 'those for whom there is no room without a stack at once'
like "$log" 'by=none: (it took too long|the unwinder ended)' 'the others after a second'

# But it is not started for ever: after thirty-two new ones there are no stacks, which is said, and calls are answered.
fates=0
while [ $fates -lt 40 ]; do
	openshell sandbox exec -n liar -- ./caller-static 192.0.2.1 4444 call >/dev/null
	unwinder=$(descendant openshell-unwin) || break
	kill -9 "$unwinder"
	wait_gone "$unwinder"
	fates=$((fates + 1))
done
is "$fates" 31 'with the two before that makes thirty-three'
run openshell sandbox exec -n liar -- ./caller-static 192.0.2.1 4444 call
is "$out" ECONNREFUSED 'without one calls are answered'
log=$(openshell logs --stacks liar -n 0)
is "$(grep -c 'ERROR.*no stacks any more: the unwinder ended too often' <<<"$log")" 1 'that there are no stacks any more is said once'
like "$(openshell logs --stacks liar -n 1)" 'by=none: the unwinder has ended' 'and of each call'

# The code that asked stands beside what it asked for.
run openshell rule get liar
like "$out" '^    asked by [a-z_+0-9]+ in caller( and others)?$|^    asked by [a-z_]+ in caller-static' 'a proposal says which code asked'
run openshell rule get liar -o json
ok 'in JSON, too' jq -e '[.[].asked_by] | any(. == "knock_at_the_door in caller-static")' <<<"$out"
run openshell policy learn --from liar --include-denied
like "$out" '# [0-9]+ uninspected connections by caller.* \([a-z_]+ in caller( and others)?\)' 'and so does the comment of a learned rule'
openshell sandbox delete liar >/dev/null

is "$(leftovers)" '' 'nothing is left'
done_testing
