#!/bin/bash
# clients.t, intercepted with ptrace.
T_INTERCEPT=ptrace exec bash "$(dirname "$0")/clients.t"
