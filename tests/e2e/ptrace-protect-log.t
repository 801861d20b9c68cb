#!/bin/bash
# protect-log.t, intercepted with ptrace.
T_INTERCEPT=ptrace exec bash "$(dirname "$0")/protect-log.t"
