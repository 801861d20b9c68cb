/*
 * Settings: what is asked for by name with `openshell settings`, for one sandbox (settings.json in
 * its state directory) or for all of the user's (the same in the configuration directory), which
 * win.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "lib/err.h"
#include "lib/state.h"

enum settings_scope { SETTINGS_DEFAULT = 0, SETTINGS_SANDBOX, SETTINGS_GLOBAL };

/* The known keys, NULL at the end. */
extern const char *const settings_keys[];

/*
 * What @value means for @key, as JSON: the caller's. NULL with the reason, also for a value that
 * exists upstream and can have no effect here.
 */
json_t *settings_parse(const char *key, const char *value, struct err *err);
/* The value in force, borrowed from @ret_holder (the caller's); @s may be NULL: the user's alone.
 */
const json_t *settings_get(const struct state *s, const char *key, json_t **ret_holder,
	enum settings_scope *ret_scope);
/* Sets (@value NULL: removes). @s NULL: for all sandboxes. 0, -ENOENT when it was not set, -errno.
 */
int settings_put(const struct state *s, const char *key, json_t *value);

/* agent_policy_proposals_enabled, for a sandbox that is starting. */
bool settings_agent_proposals(const struct state *s);
