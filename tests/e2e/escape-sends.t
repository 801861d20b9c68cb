#!/bin/bash
# Data without connect(): TCP fast open, datagrams, several at once (threats.md 7, 8). What the supervisor takes
# apart before it sends it on is not taken apart beyond its end.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
arena sends
control
attack fast-open denied.test 7000
unlike "$out" ': ok$.*MSG_FASTOPEN' 'fast open'
for way in 'sendto MSG_FASTOPEN' 'sendmsg MSG_FASTOPEN' 'sendmmsg MSG_FASTOPEN' 'connect after it' 'send after it'; do
	unlike "$(outcome "$way")" '^ok' "$way is refused"
done
start udp "$T_SUPPORT/canary" "$T/tmp/udp.log"
run user "$T/work/attack" udp 127.0.0.1 "$udp"
ok 'control: outside, the datagram canary sings' wait_line "$T/tmp/udp.log" udp
: >"$T/tmp/udp.log"
for address in 192.0.2.1 8.8.8.8 255.255.255.255 224.0.0.251 10.0.0.1; do
	attack udp "$address" 443
	for way in sendto sendmsg sendmmsg udplite; do
		like "$(outcome $way)" '^(EPERM|EACCES|ECONNREFUSED|ENETUNREACH|EPROTONOSUPPORT|EINVAL|EAFNOSUPPORT)' "$way to $address is refused at once"
	done
done
attack udp 127.0.0.1 "$udp"
not_ok "loopback is the sandbox's own" grep -q . "$T/tmp/udp.log"
attack netlink-odd
is "$(outcome netlink)" ok 'a question to netlink of odd length is sent'
control
arena_closed 'action=deny .*dst_host=8\.8\.8\.8'
