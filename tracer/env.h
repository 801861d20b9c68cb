/*
 * The environment of commands in a sandbox: a clean base, where the proxy and the certificates are,
 * and what the user named. Nothing else of the caller's gets in.
 */
#pragma once

#include <stdbool.h>

struct sandbox_spec;

/* Where the sandbox finds its certificates and its init. */
#define ENV_CA_FILE	"/run/openshell/ca.pem"
#define ENV_BUNDLE_FILE "/run/openshell/ca-bundle.pem"
#define ENV_INIT_FILE	"/run/openshell/init"
#define ENV_PRELOAD_FILE "/run/openshell/libopenshell-preload.so"
#define ENV_BIN_DIR	"/run/openshell/bin" /* commands of an agent's profile */

/*
 * Base variables, then the placeholders of attached credentials, then @spec's, then @caller's (KEY=VALUE: TERM, locale, --env of one command);
 * a later one replaces an earlier one. A strv of the caller, NULL when out of memory.
 */
char **env_build(const struct sandbox_spec *spec, char *const *placeholders, char *const *caller,
	bool is_tty);
/* The value of @key in @env, or NULL. */
const char *env_get(char *const *env, const char *key);
