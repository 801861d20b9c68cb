#!/bin/bash
# Names: every name has an address inside, and none leaves the machine before policy said yes
# (threats.md 35). The host here is a namespace of its own, whose only resolver is the canary.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox

# Inside that namespace: the canary on port 53 logs every question that any process of ours asks.
cat >"$T/tmp/inner" <<'EOS'
#!/bin/bash
set -u
log=$T/tmp/dns.log
# The port below 1024 is the canary's business alone.
openshell() { setpriv --ambient-caps=-all --inh-caps=-all openshell "$@"; }
socat -u UDP4-RECVFROM:53,bind=127.0.0.1,fork SYSTEM:"cat >>$log" &
socat=$!
until grep -q ':0035 ' /proc/net/udp; do read -r -t 0.05 <> <(:); done
openshell sandbox create --name dns --keep --no-auto-providers --policy "$T/tmp/policy.yaml" -- true
openshell sandbox exec -n dns -- getent ahosts secret-label.denied.test
openshell sandbox exec -n dns -- getent ahostsv6 secret-label.denied.test
openshell sandbox exec -n dns -- curl -sS -m 5 https://secret-label.denied.test/
openshell sandbox exec -n dns -- curl -sS -m 5 --noproxy '*' https://other-label.denied.test/
openshell sandbox exec -n dns -- wget -T 5 -t 1 -q https://wget-label.allowed.test/
echo "== denied done" >>"$log"
openshell sandbox exec -n dns -- curl -sS -m 5 https://good-label.allowed.test/
openshell sandbox delete dns
kill "$socat"
EOS
cat >"$T/tmp/policy.yaml" <<'EOS'
version: 1
network_policies:
  allowed:
    endpoints:
      - { host: "*.allowed.test", port: 443 }
    binaries:
      - { path: /usr/bin/curl }
EOS
chmod +x "$T/tmp/inner"
chmod a+r "$T/tmp/policy.yaml"
printf 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n' >"$T/tmp/resolv.conf"
chmod a+r "$T/tmp/resolv.conf"
printf 'hosts: files dns\n' >"$T/tmp/nsswitch.conf"
chmod a+r "$T/tmp/nsswitch.conf"
resolv=$(readlink -f /etc/resolv.conf)

T_TIMEOUT=90 run user bwrap --unshare-user --unshare-net --unshare-pid --cap-add CAP_NET_BIND_SERVICE --dev-bind / / \
	--proc /proc --ro-bind "$T/tmp/resolv.conf" "$resolv" --ro-bind "$T/tmp/nsswitch.conf" /etc/nsswitch.conf \
	--setenv T "$T" "$T/tmp/inner"
heard=$(tr -c '[:alnum:]=\n-' ' ' <"$T/tmp/dns.log" 2>/dev/null)
before=${heard%%== denied done*}
after=${heard#*== denied done}
unlike "$before" 'label' 'no label of a denied name was asked for'
like "$after" 'good-label' 'the canary hears the name that policy allows'
like "$out" '^[0-9a-f:.]+ +STREAM' 'inside, a denied name has an address all the same'
done_testing
