#!/bin/bash
# intercept-names.t, intercepted with ptrace.
T_INTERCEPT=ptrace exec bash "$(dirname "$0")/intercept-names.t"
