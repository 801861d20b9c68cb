#!/bin/bash
# A policy changes while connections are open (threats.md 39, design invariant 6).
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
start_origin
python=$(readlink -f /usr/bin/python3)
cd "$T/work" || exit 1
policy_for "$python" >open.yaml
sed '/^network_policies/,$d' open.yaml >closed.yaml
ok 'a sandbox' sandbox reload --policy "$T/work/open.yaml"

# One keep-alive connection; a request whenever a line comes in.
cat >"$T/work/keep.py" <<'PY'
import http.client, sys
c = http.client.HTTPSConnection("api.github.com", timeout=10)
for line in sys.stdin:
    try:
        c.request("GET", "/zen")
        r = c.getresponse()
        print(r.status, r.read()[:8].decode(), flush=True)
    except Exception as e:
        print(type(e).__name__, flush=True)
PY
mkfifo "$T/tmp/ask"
exec 6<>"$T/tmp/ask"
exec 5< <(T_TIMEOUT=60 openshell sandbox exec -n reload -- "$python" "$T/work/keep.py" <&6)
ask() { echo >&6; read -r -t 15 answer <&5 || answer='no answer'; }

ask
is "$answer" '200 Anything' 'a kept connection'
ask
is "$answer" '200 Anything' 'is used again'
is "$(grep -c '^connect' "$origin_log")" 1 'it is one'
run openshell policy set reload --policy "$T/work/open.yaml" --wait
like "$out$err" 'nchanged' 'the same policy is no change'
ask
is "$answer" '200 Anything' 'and disturbs nobody'
printf '\n# a comment\n' >>open.yaml
requests=$(grep -c '^request' "$origin_log")
run openshell policy set reload --policy "$T/work/closed.yaml" --wait
is "$status" 0 'a policy that allows nothing'
ask
unlike "$answer" '^200' 'ends the connection that it does not allow'
run openshell sandbox exec -n reload -- "$python" -c 'import urllib.request as u; print(u.urlopen("https://api.github.com/zen").status)'
unlike "$out" 200 'and allows no new one'
is "$(grep -c '^request' "$origin_log")" "$requests" 'the server hears nothing after policy set returned'
exec 6>&- 5<&-

# Many changes, with traffic, and never a decision that neither policy would take.
policy_for "$python" /usr/bin/curl >both.yaml
cat >"$T/work/traffic.py" <<'PY'
import http.client, sys, time
end = time.time() + 4
good = bad = 0
while time.time() < end:
    try:
        c = http.client.HTTPSConnection("api.github.com", timeout=10)
        c.request("POST", "/x", b"{}")
        if c.getresponse().status == 201: bad += 1
        else: good += 1
    except Exception:
        good += 1
print("posts", bad, "tries", good > 0)
PY
exec 5< <(T_TIMEOUT=60 openshell sandbox exec -n reload -- "$python" "$T/work/traffic.py")
for ((i = 0; i < 10; i++)); do
	openshell policy set reload --policy "$T/work/open.yaml" --wait >/dev/null 2>&1
	openshell policy set reload --policy "$T/work/both.yaml" --wait >/dev/null 2>&1
	printf 'version: 1\nnetwork_policies: [' >half.yaml
	openshell policy set reload --policy "$T/work/half.yaml" --wait >/dev/null 2>&1 && fail 'half a policy was taken'
done
read -r -t 30 said <&5
is "$said" 'posts 0 tries True' 'through twenty changes no POST is let through'
unlike "$(cat "$origin_log")" '^request POST' 'nor reaches the server'
run openshell policy list reload
at_most 20 "$(grep -cE '^ *[0-9]+ ' <<<"$out")" 'each change is a revision; at least'
run openshell logs reload --since 5m
like "$out" '\[POLICY\]' 'and in the log'
run openshell sandbox delete reload
is "$(leftovers)" '' 'nothing is left'
done_testing
