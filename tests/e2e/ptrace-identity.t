#!/bin/bash
# identity.t, intercepted with ptrace.
T_INTERCEPT=ptrace exec bash "$(dirname "$0")/identity.t"
