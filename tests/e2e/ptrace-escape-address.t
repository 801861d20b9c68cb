#!/bin/bash
# escape-address.t, intercepted with ptrace.
T_INTERCEPT=ptrace exec bash "$(dirname "$0")/escape-address.t"
