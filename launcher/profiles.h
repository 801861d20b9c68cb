/*
 * The profiles there are: the user's own in $XDG_CONFIG_HOME/openshell/profiles, and those that
 * come with the program. A user's profile hides the built-in one of the same name.
 */
#pragma once

#include <stddef.h>

#include "lib/err.h"
#include "lib/profile.h"
#include "lib/spec.h"

/* The directory of those that come with the program: a descriptor of the caller, or -1. */
int profiles_builtin_open(void);
/* Adds the files of @dir (owned; -1: none) that end in @ending, without it and up to @max bytes
 * long, to the strv @names where they are not in it. */
void profiles_list(char ***names, int dir, const char *ending, size_t max);
/* The names of all, sorted: a strv of the caller, or NULL. */
char **profiles_names(void);
/* The profile called @name and its file: 0, -ENOENT (with text and hint), -EINVAL with text. The
 * text of the file and its path (either may be NULL) are the caller's. */
int profiles_load(
	const char *name, struct profile *ret, char **ret_text, char **ret_path, struct err *err);

/*
 * What wrapping @spec's command takes: the profile @name, or without one the first that is for the
 * command, is found and put into @spec (paths, settings, links), and said in one line.
 * @ret_policy: its policy, the caller's; NULL when there is no such profile or the program is not
 * installed where it is looked for (then the command runs as any other). @ret_provider: the type of
 * provider that has its secrets, the caller's, or NULL. 0 or -errno with text.
 */
int profiles_apply(struct sandbox_spec *spec, const char *name, char **ret_policy, char **ret_provider,
	struct err *err);
