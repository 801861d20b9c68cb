#!/bin/bash
# The environment (threats.md 51): unsetting or widening the proxy variables changes nothing, and no
# secret of the caller is inside.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
start_origin
T_ENV+=(AWS_SECRET_ACCESS_KEY=hunter2 SSH_AUTH_SOCK=/tmp/agent LD_PRELOAD= NO_PROXY='*' http_proxy=http://127.0.0.1:1)
arena environment
control
run inside environment 'env; cat /proc/*/environ | tr "\0" "\n"'
unlike "$out" 'hunter2|SSH_AUTH_SOCK|127\.0\.0\.1:1$' "nothing of the caller's is there"
for how in 'env -i' "env NO_PROXY=* no_proxy=*" 'env -u https_proxy -u HTTPS_PROXY -u http_proxy -u ALL_PROXY -u all_proxy' \
	"env https_proxy=http://127.0.0.1:9"; do
	run inside environment "$how /usr/bin/curl -sS -m $((5 * T_SLOW)) https://api.github.com/zen"
	unlike "$out" 'Anything' "$how"
done
not_ok 'the server heard nothing' grep -q . "$origin_log"
run openshell sandbox exec -n environment --env OPENSHELL_X=1 -- true
not_ok 'our own variables cannot be set' test "$status" = 0
arena_closed 'action=deny dst_host=api\.github\.com'
