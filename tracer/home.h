/*
 * /sandbox as a new account finds it.
 */
#pragma once

#include "lib/err.h"

/* Gives the home in the state directory @state_dir its shell start files; what is there stays. */
int home_furnish(int state_dir, struct err *err);
