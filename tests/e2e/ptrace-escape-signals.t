#!/bin/bash
# escape-signals.t, intercepted with ptrace.
T_INTERCEPT=ptrace exec bash "$(dirname "$0")/escape-signals.t"
