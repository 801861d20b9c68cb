/*
 * What the commands share about sandboxes: which one is meant, what state it is in, and tidying
 * up after dead supervisors.
 */
#pragma once

#include <jansson.h>

#include "lib/spec.h"
#include "lib/state.h"

/*
 * The sandbox that is meant: @given, or the last used one (which is said on standard error).
 * Returns -1 to go on, else the status to exit with, after an error.
 */
int sandbox_name(const char *given, char ret[STATE_NAME_MAX + 1]);

/* Clears away what the dead left, and says so. */
void sandbox_sweep(void);

/* The same, with its state: the caller's, for state_close(). */
int sandbox_open(const char *given, struct state **ret);

/* The same, with a connection to its supervisor: the caller's, to close. */
int sandbox_reach(const char *given, char ret_name[STATE_NAME_MAX + 1], int *ret_sock);

/* Its supervisor as a pidfd, by the number in the lock that it holds: -ESRCH when it is gone. */
int sandbox_supervisor(const struct state *s);

struct sandbox_info {
	struct sandbox_spec spec;
	const char *phase; /* Ready, Starting, Stopping, Stopped, Error, Unknown; a constant */
	const char *intercept; /* the backend in use, a constant; NULL: it does not run */
	uint32_t policy_version; /* 0: none recorded */
};

#define auto_info __attribute__((cleanup(sandbox_info_done)))

void sandbox_info_done(struct sandbox_info *i);
/* From the state directory and the supervisor: 0 or -errno with text; -ENOENT also for one that has
 * ended and was not to be kept. */
int sandbox_info_load(struct sandbox_info *ret, const char *name, struct err *err);
/* With the keys that upstream's output has. */
json_t *sandbox_info_json(const struct sandbox_info *i);

/* The newest revision of the policy and its text (the caller's); -ENOENT with text. */
int sandbox_policy(const struct state *s, uint32_t version, struct state_revision *ret,
	char **ret_yaml, struct err *err);
/* Policy text as JSON; null when it is none. */
json_t *sandbox_policy_json(const char *yaml);
