/*
 * Destinations that the operator closed with --deny, whatever the policy or audit says.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

struct barred;

/*
 * From a NULL-terminated list of HOST or HOST:PORT; HOST is a name, an address (IPv6 in brackets
 * when a port follows) or a pattern as in a policy: "*.example.com" is one label, "**.example.com"
 * one or more. 0, -EINVAL with the reason, -ENOMEM. NULL and the empty list close nothing.
 */
int barred_new(char *const *list, struct barred **ret, struct err *err);
/* NULL is fine. */
void barred_free(struct barred *b);

/* The entry that closes the canonical @host and @port, as it was written; NULL if none does. */
const char *barred_find(const struct barred *b, const char *host, uint16_t port);
