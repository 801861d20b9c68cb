#!/bin/bash
# intercept-sends.t, intercepted with ptrace.
T_INTERCEPT=ptrace exec bash "$(dirname "$0")/intercept-sends.t"
