/*
 * Profiles of agents: a policy file with one section more, `profile`, that says which commands it
 * is for and which of the user's own settings they need.
 *
 *	profile:
 *	  name: claude
 *	  description: Claude Code
 *	  commands: [claude]
 *	  home_read_write: [.claude, .claude.json]	# below the home directory
 *	  home_read_only: [.gitconfig]
 *	  protect: [.claude/settings.json]		# inside these: stays read-only
 *	  provider: claude-code				# the type of provider with its secrets
 *	  not_granted: "the keyring"			# said at start
 *
 * The rest is the policy language, with two variables in it: ${agent}, the program that makes the
 * connections, and ${install}, the directory it is installed in.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/err.h"

enum {
	PROFILE_TEXT_MAX = 256 * 1024,
	PROFILE_LIST_MAX = 64,
	PROFILE_NAME_MAX = 32,
};

struct profile {
	char *name, *description, *not_granted, *provider;
	char **commands, **home_rw, **home_ro, **protect;
	char *policy; /* the text without the section `profile`, lines where they were */
};

void profile_done(struct profile *p);

/*
 * Reads a profile. Unknown keys, wrong types, a missing name and paths that leave the home
 * directory are errors: 0, -EINVAL with "LINE:COLUMN: what", or -ENOMEM.
 */
int profile_parse(struct profile *ret, const char *text, size_t len, struct err *err);

/* The policy with its variables replaced, escaped for double quotes; NULL when out of memory. */
char *profile_policy(const struct profile *p, const char *agent, const char *install);

bool profile_is_for(const struct profile *p, const char *command);
