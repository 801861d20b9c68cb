#!/bin/bash
# Other doors to connect(): foreign ABIs, io_uring, a filter of one's own (threats.md 5, 6, 16).
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
arena abi
control
attack foreign-abi
unlike "$out" '(socket|connect): ok' 'neither i386 nor x32 system calls work'
attack io-uring
is "$(grep -c ': ENOSYS$' <<<"$out")" 3 'io_uring does not exist, so that programs fall back'
attack own-filter denied.test 7000
unlike "$(outcome 'connect after it')" '^ok' 'a filter of its own does not switch ours off'
attack own-filter allowed.test 7000
is "$(outcome 'connect after it')" ok 'nor does it break what is allowed'
arena_closed 'action=deny dst_host=denied\.test'
