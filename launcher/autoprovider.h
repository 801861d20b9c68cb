/*
 * The provider that an agent's profile names: attached without being asked for where there is one, and made of
 * the caller's own variables where that is wanted.
 */
#pragma once

#include "lib/err.h"
#include "lib/spec.h"

enum autoprovider {
	AUTOPROVIDER_NEVER = -1,
	AUTOPROVIDER_ASK = 0, /* whoever sits at the terminal; nobody there: it is said what would make it */
	AUTOPROVIDER_MAKE = 1,
};

/*
 * Adds a provider of @type to those of @spec, unless one of that type is among them or --env sets one of its
 * variables; says which, in one line. 0, also where there is none to add, or -errno with text.
 */
int autoprovider_add(struct sandbox_spec *spec, const char *type, enum autoprovider how, struct err *err);
