#!/bin/bash
# Other spellings of an address, another try on the same socket, arguments that are not what they
# should be (threats.md 9, 10, 11).
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
arena address
control
# The metadata service, loopback and the any-address of the host, in every spelling.
attack addresses 7000 169.254.169.254 ::ffff:169.254.169.254 ::169.254.169.254 64:ff9b::a9fe:a9fe 2002:a9fe:a9fe:: \
	100.100.100.200 fd00:ec2::254 fe80::1 10.0.0.1 192.168.1.1 172.16.0.1 ::ffff:10.0.0.1 255.255.255.255 224.0.0.1 240.0.0.1 1.1.1.1 2606:4700::1111
unlike "$out" ': ok$' 'no literal address is reached'
is "$(grep -c : <<<"$out")" "$(grep -cE ': (ECONNREFUSED|EACCES|EPERM|ENETUNREACH|EINVAL|EHOSTUNREACH|EADDRNOTAVAIL)$' <<<"$out")" \
	'and each is refused, not left hanging'
attack addresses "$denied_port" 127.0.0.1 127.1.2.3 0.0.0.0 ::1 :: ::ffff:127.0.0.1 ::ffff:0.0.0.0
unlike "$out" ': ok$' "the host's loopback has no spelling"
attack again allowed.test denied.test 7000
is "$(outcome allowed)" ok 'the first connect of a socket'
like "$(outcome again)" '^E' 'does not cover a second'
attack reach allowed.test 0
is "$(outcome reach)" ECONNREFUSED 'an allowed host has no port 0'
attack arguments allowed.test 7000
like "$(outcome 'length 0')" '^EINVAL' 'a length of nothing'
for what in 'length 1' 'length 15' 'length 129' 'length 4294967295'; do
	like "$(outcome "$what")" '^(EINVAL|EFAULT)' "$what"
done
for what in null unmapped kernel forbidden 'over the edge'; do
	is "$(outcome "$what")" EFAULT "a pointer that is $what"
done
is "$(outcome 'at the edge')" ok 'an address at the very end of a page is fine'
is "$(outcome 'descriptor -1'):$(outcome 'a file')" EBADF:ENOTSOCK 'descriptors that are none'
control
run openshell logs "$arena" --since 5m
like "$out" 'action=deny .*dst_host=allowed\.test.*deny_reason="port 0 is no port"' 'port 0 is denied, and in the log'
arena_closed 'action=deny .*dst_host=169\.254\.169\.254'
