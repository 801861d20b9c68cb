#!/bin/bash
# intercept-connect.t, intercepted with ptrace.
T_INTERCEPT=ptrace exec bash "$(dirname "$0")/intercept-connect.t"
