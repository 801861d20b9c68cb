#!/bin/bash
# escape-sends.t, intercepted with ptrace.
T_INTERCEPT=ptrace exec bash "$(dirname "$0")/escape-sends.t"
