#!/bin/bash
# Other families and protocols (threats.md 12): what is not TCP, UDP on loopback or a Unix socket does
# not exist.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
arena families
control
attack families
for what in 'inet stream' 'inet6 stream' 'unix stream' 'netlink route'; do
	is "$(outcome "$what")" ok "control: $what"
done
for what in packet 'inet raw' 'inet ping' 'inet6 raw' sctp dccp vsock alg rxrpc kcm tipc rds xdp smc bluetooth can nfc \
	appletalk ipx x25 key qipcrtr 'netlink generic' 'netlink netfilter' 'netlink audit'; do
	like "$(outcome "$what")" '^(EAFNOSUPPORT|EPROTONOSUPPORT|EPERM|EACCES|ESOCKTNOSUPPORT)$' "$what"
done
arena_closed ''
