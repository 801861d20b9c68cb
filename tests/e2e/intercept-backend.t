#!/bin/bash
# The interception backend: what was asked for by name is used, or nothing is started.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
for backend in auto seccomp; do
	run openshell sandbox create --no-auto-providers --intercept "$backend" -- echo up
	is "$out" up "--intercept $backend"
done
run openshell sandbox create --no-auto-providers --stacks -- echo up
one_line_error '--stacks: ' '--stacks is not ignored either'
run openshell sandbox create --no-auto-providers --intercept ptrace -- echo up
one_line_error '--intercept ptrace: ' '--intercept ptrace is refused by name'
run openshell sandbox create --no-auto-providers --intercept preload -- echo up
unlike "$out" up '--intercept preload does not start with another backend instead'
is "$status" 125 'and says so by its status'
one_line_error '--intercept preload: ' 'in one line, with the flag named'
is "$(leftovers)" '' 'nothing is left'
done_testing
