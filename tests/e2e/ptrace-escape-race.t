#!/bin/bash
# escape-race.t, intercepted with ptrace.
T_INTERCEPT=ptrace RACES=4000 exec bash "$(dirname "$0")/escape-race.t"
