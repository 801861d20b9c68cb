#!/bin/bash
# faults.t, intercepted with ptrace.
T_INTERCEPT=ptrace exec bash "$(dirname "$0")/faults.t"
