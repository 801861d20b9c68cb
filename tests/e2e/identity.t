#!/bin/bash
# Who is asking is the executable that runs, not what it calls itself (threats.md 22, 23).
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
start_origin
cd "$T/work" || exit 1
cp /usr/bin/curl "$T/work/mycurl"
[ "$(id -u)" != 0 ] || chown "$T_UID" "$T/work/mycurl"
policy_for /usr/bin/curl "$T/work/mycurl" >"$T/work/policy.yaml"
ok 'a sandbox' sandbox who --policy "$T/work/policy.yaml"

url=https://api.github.com/zen
works() { run inside who "$1"; like "$out" 'Anything added' "$2"; }
denied() { run inside who "$1"; unlike "$out" 'Anything added' "$2"; }

works "/usr/bin/curl -sS $url" 'curl itself'
works "ln -s /usr/bin/curl /tmp/link; /tmp/link -sS $url" 'a symbolic link to it is it'
works "$T/work/mycurl -sS $url" 'a second binary that the policy names'

denied "cp /usr/bin/curl /tmp/curl; /tmp/curl -sS $url" 'a copy'
denied "mkdir -p /tmp/usr/bin; cp /usr/bin/curl /tmp/usr/bin/curl; cd /tmp; usr/bin/curl -sS $url" 'a copy whose path ends alike'
denied "bash -c 'exec -a /usr/bin/curl wget -q -O- $url'" 'argv[0]'
denied "$(find -L /lib64/ /lib/ -maxdepth 2 -name 'ld-linux*' 2>/dev/null | head -1) /usr/bin/curl -sS $url" 'the dynamic loader running curl'
denied "cp /usr/bin/curl '/tmp/curl (deleted)'; '/tmp/curl (deleted)' -sS $url" 'a name that ends in (deleted)'
denied "mkdir -p '/tmp/usr/bin/curl
x'; cp /usr/bin/curl '/tmp/usr/bin/curl
x/curl'; '/tmp/usr/bin/curl
x/curl' -sS $url" 'a path with a newline'
cat >"$T/work/memfd.py" <<'PY'
import os, sys
fd = os.memfd_create("curl", 0)
os.write(fd, open("/usr/bin/curl", "rb").read())
os.execve("/proc/self/fd/%d" % fd, ["/usr/bin/curl"] + sys.argv[1:], os.environ)
PY
denied "/usr/bin/python3 $T/work/memfd.py -sS $url" 'a memfd with the bytes of curl'
denied "cp /usr/bin/curl /tmp/gone; /tmp/gone -sS --retry 3 --retry-delay 1 $url & rm /tmp/gone; wait" 'a deleted copy'

# What the log says about each.
run openshell logs who --since 5m
like "$out" 'action=deny .*binary=/tmp/curl ' 'the copy is named by its path'
like "$out" 'action=deny .*binary=[^ ]*(ld-linux|ld-)[^ ]* ' 'the loader by its'
unlike "$out" '^x/curl' 'a newline in a name does not make a line of its own'

# Trust on first use: the named binary may not change under the policy.
run inside who "printf x >>$T/work/mycurl; $T/work/mycurl -sS $url"
unlike "$out" 'Anything added' 'a binary that changed is denied'
run openshell logs who --since 5m
like "$out" 'action=deny .*binary=[^ ]*mycurl .*hash' 'for that reason'
run openshell sandbox trust who "$T/work/mycurl"
is "$status" 0 'sandbox trust'
works "$T/work/mycurl -sS $url" 'makes it work again'

# Ancestors: what an allowed program starts may ask too, as upstream has it.
policy_for /usr/bin/bash >"$T/work/bash.yaml"
run openshell policy set who --policy "$T/work/bash.yaml" --wait
is "$status" 0 'a policy for bash'
works "/usr/bin/bash -c '/usr/bin/curl -sS $url; :'" 'curl under bash is covered by it'
denied "/usr/bin/curl -sS $url" 'curl alone is not'

run openshell sandbox delete who
is "$(leftovers)" '' 'nothing is left'
done_testing
