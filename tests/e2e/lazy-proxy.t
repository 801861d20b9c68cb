#!/bin/bash
# The proxy is started when it is first needed, and nobody can see a trust store without its CA.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
ok 'a sandbox' sandbox lazy
run openshell sandbox exec -n lazy -- true
not_ok 'a command that needs no network starts no proxy' descendant openshell-proxy

# Everybody who opens the certificates waits until the CA is in them.
run openshell sandbox exec -n lazy -- sh -c 'for i in $(seq 20); do grep -c BEGIN /run/openshell/ca.pem & done; wait'
is "$(sort <<<"$out" | uniq -c | tr -s ' ')" ' 20 1' 'twenty readers at once see the CA'
ok 'and the proxy runs' descendant openshell-proxy
run openshell sandbox exec -n lazy -- sh -c 'tail -n 20 /etc/ssl/certs/ca-certificates.crt | openssl x509 -noout -subject'
like "$out" 'sandbox CA' 'it is in the bundle as well'
run openshell sandbox delete lazy

# A connection and a new policy need it, too.
ok 'another sandbox' sandbox lazy2
run openshell sandbox exec -n lazy2 -- curl -sS --noproxy '*' http://denied.test/
like "$out" policy_denied 'a connection is answered by the proxy'
ok 'that it started' descendant openshell-proxy
run openshell sandbox delete lazy2

ok 'a third sandbox' sandbox lazy3
not_ok 'has no proxy' descendant openshell-proxy
printf 'version: 1\n' >"$T/work/policy.yaml"
run openshell policy set lazy3 --policy "$T/work/policy.yaml" --wait
is "$status" 0 'until a policy is set'

# Without the proxy nobody waits for ever: the files are there, the CA is not.
proxy=$(descendant openshell-proxy)
kill -9 "$proxy"
run openshell sandbox exec -n lazy3 -- sh -c 'cat /run/openshell/ca.pem /run/openshell/ca-bundle.pem | wc -c'
is "$status" 0 'its death lets readers go on'
run openshell sandbox exec -n lazy3 -- curl -sS --noproxy '*' http://denied.test/
unlike "$out" denied 'and nobody out'
not_ok 'no other proxy takes its place' descendant openshell-proxy
run openshell logs lazy3
like "$out" 'the proxy ended' 'that it ended is in the log'
unlike "$out" 'the proxy cannot be started' 'and nobody has tried to start another'
run openshell sandbox delete lazy3
is "$(leftovers)" '' 'nothing is left'
done_testing
