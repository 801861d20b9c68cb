#!/bin/bash
# unix.t, intercepted with ptrace.
T_INTERCEPT=ptrace exec bash "$(dirname "$0")/unix.t"
