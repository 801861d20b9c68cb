/*
 * Settings for every sandbox: $XDG_CONFIG_HOME/openshell/config.yaml and variables of the
 * caller's environment. Flags win over variables, variables over the file.
 */
#pragma once

#include "lib/err.h"

struct config {
	char **connect_to; /* in the order in which they win */
	char *upstream_ca;
	char *upstream_proxy;
	char *no_proxy;
};

#define auto_config __attribute__((cleanup(config_done)))

void config_done(struct config *c);

/*
 * Adds what the environment and the file say to what the flags have set: lists grow, single
 * values are filled where they are NULL. A malformed file is -EINVAL with "file:line:column" in
 * the text.
 */
int config_complete(struct config *c, struct err *err);
