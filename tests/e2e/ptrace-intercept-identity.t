#!/bin/bash
# intercept-identity.t, intercepted with ptrace.
T_INTERCEPT=ptrace exec bash "$(dirname "$0")/intercept-identity.t"
