#!/bin/bash
# escape-identity.t, intercepted with ptrace.
T_INTERCEPT=ptrace exec bash "$(dirname "$0")/escape-identity.t"
