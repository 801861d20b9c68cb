/*
 * Paths as the user gives them.
 */
#pragma once

#include "lib/err.h"

/*
 * @path made absolute and free of ".", ".." and doubled slashes, by text alone: links stay as
 * they are, for the sandbox shows a path at its own place. The caller frees; NULL when out of
 * memory or when the current directory is gone.
 */
char *path_absolute(const char *path);
/* The pure part: @path below @base (absolute). */
char *path_join(const char *base, const char *path);

enum path_workdir {
	PATH_WORKDIR_OK = 0,
	PATH_WORKDIR_ROOT, /* "/" */
	PATH_WORKDIR_HOME, /* the home directory or above it */
	PATH_WORKDIR_GONE, /* it does not exist any more */
	PATH_WORKDIR_OWN,  /* the sandbox has its own there, whatever the host has */
};

/* May @cwd be granted without having been named? Pure; @home may be NULL. */
enum path_workdir path_workdir_judge(const char *cwd, const char *home);

/*
 * The directory to grant: @given (--workdir), else the current one if path_workdir_judge() finds
 * it fit; otherwise NULL, after a line on standard error. 0 or -errno with text.
 */
int path_workdir(const char *given, char **ret, struct err *err);
