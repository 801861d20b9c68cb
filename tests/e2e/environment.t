#!/bin/bash
# The environment inside: a clean base, the caller's locale and terminal, --env; no secret, no
# injection variable and no reserved name of the caller's.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
cd "$T/work" || exit 1
T_ENV+=(LANG=C.UTF-8 LC_TIME=C LC_MESSAGES=C TZ=Asia/Kathmandu AWS_SECRET_ACCESS_KEY=hunter2 GH_TOKEN=hunter2
	NODE_OPTIONS=--require=/tmp/evil.js PYTHONPATH=/tmp/evil PYTHONSTARTUP=/tmp/evil PERL5LIB=/tmp/evil RUBYOPT=-r/tmp/evil
	BASH_ENV=/tmp/evil ENV=/tmp/evil JAVA_TOOL_OPTIONS=-javaagent:/tmp/evil GIT_SSH_COMMAND=/tmp/evil LD_AUDIT= LD_PRELOAD=
	BUN_OPTIONS=--preload=/tmp/evil PROMPT_COMMAND=/tmp/evil EDITOR=/tmp/evil DISPLAY=:0 SSH_AUTH_SOCK=/tmp/agent
	DBUS_SESSION_BUS_ADDRESS=unix:path=/tmp/bus 'BASH_FUNC_ls%%=() { echo evil; }' http_proxy=http://127.0.0.1:1)
T_TERM=xterm-kitty
run openshell sandbox create --name env --keep --env PLAIN=value --env 'SPACED=two words' --env EMPTY= \
	--env LD_PRELOAD=/nonexistent/asked-for.so -- env
is "$status" 0 'env runs'
inside_env=$out
for want in HOME=/sandbox USER=sandbox LOGNAME=sandbox LANG=C.UTF-8 LC_TIME=C LC_MESSAGES=C TZ=Asia/Kathmandu TERM=xterm-kitty \
	PLAIN=value 'SPACED=two words' EMPTY= OPENSHELL_SANDBOX=env NODE_USE_ENV_PROXY=1; do
	like "$inside_env" "^$want\$" "$want"
done
like "$inside_env" '^PATH=.*/usr/bin' 'a PATH'
like "$inside_env" '^SHELL=/bin/(ba)?sh$' 'a SHELL'
unlike "$inside_env" 'hunter2' "no secret of the caller's"
unlike "$inside_env" 'evil' 'no injection variable'
unlike "$inside_env" '^(DISPLAY|SSH_AUTH_SOCK|DBUS_|XDG_|LD_AUDIT|BASH_FUNC)' 'nothing of the session'
like "$inside_env" '^LD_PRELOAD=/nonexistent/asked-for.so$' 'what --env asks for is set, whatever it is'
unlike "$inside_env" '127\.0\.0\.1:1$' "the caller's proxy is not the sandbox's"

# The same for commands in a running sandbox; the sandbox's --env stays, the command's adds.
run openshell sandbox exec -n env --env EXTRA=1 --env PLAIN=other -- env
like "$out" '^EXTRA=1$' "exec: its own variable"
like "$out" '^PLAIN=other$' "exec: which may replace the sandbox's"
like "$out" '^SPACED=two words$' "exec: the sandbox's stay"
unlike "$out" 'hunter2|evil|^DISPLAY' "exec: nothing of the caller's"
run openshell sandbox stop env
run openshell sandbox start env
run inside env 'echo "$SPACED"; cat /proc/1/environ | tr "\0" "\n"'
like "$out" '^two words$' 'stop and start keep --env'
unlike "$out" 'hunter2|evil' 'nor does init know more'
run openshell sandbox delete env

# Names.
for bad in OPENSHELL_X=1 v1_TOKEN=x "s$(printf '%064d' 0)_TOKEN=x" 1X=1 'A B=1' =x novalue; do
	run openshell sandbox create --no-auto-providers --env "$bad" -- true
	is "$status" 2 "--env '${bad:0:20}' is refused"
	one_line_error . "--env '${bad:0:20}' says why"
done
run openshell sandbox create --no-auto-providers --env "A=one
two" -- true
is "$status" 2 'a newline in a value is refused'
run openshell sandbox create --no-auto-providers --env API_TOKEN=abcdef0123456789abcdef0123456789 -- true
is "$status" 0 'what looks like a credential is passed'
like "$err" 'looks like a credential' 'and remarked upon'
unlike "$err" abcdef0123456789 'without its value'
is "$(leftovers)" '' 'nothing is left'
done_testing
