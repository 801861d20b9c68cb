/*
 * The rule that almost allowed it: one sentence that a person can act on. Reached on denials only.
 * Private to lib/policy_*.c.
 */
#pragma once

#include <stddef.h>

#include "lib/policy_impl.h"

/* @others: an endpoint that matches but for the binary, or NULL. @out is empty when nothing is
 * near. */
void policy_nearest_connection(const struct policy *p, const struct intent *in,
	const struct endpoint *others, char *out, size_t size);
void policy_nearest_request(
	const struct policy *p, const struct intent *in, char *out, size_t size);
