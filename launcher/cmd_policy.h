/*
 * policy check and policy eval: they parse their own arguments; argv[0] is the last command word.
 */
#pragma once

int cmd_policy_check(int argc, char **argv);
int cmd_policy_eval(int argc, char **argv);
