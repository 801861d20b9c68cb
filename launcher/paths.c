#include "launcher/paths.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher/out.h"
#include "lib/cleanup.h"
#include "lib/private_dirs.h"
#include "lib/str.h"

/* Appends the parts of @s to the clean absolute path in @out. */
static void append_parts(char *out, size_t *len, const char *s)
{
	while (*s) {
		size_t n = strcspn(s, "/");

		if (n == 2 && s[0] == '.' && s[1] == '.') {
			while (*len > 0 && out[--*len] != '/')
				;
		} else if (n > 0 && !(n == 1 && s[0] == '.')) {
			out[(*len)++] = '/';
			memcpy(out + *len, s, n);
			*len += n;
		}
		s += n + (s[n] == '/');
	}
}

char *path_join(const char *base, const char *path)
{
	char *out = malloc(strlen(base) + strlen(path) + 3);
	size_t len = 0;

	if (!out)
		return NULL;
	if (path[0] != '/')
		append_parts(out, &len, base);
	append_parts(out, &len, path);
	if (len == 0)
		out[len++] = '/';
	out[len] = '\0';
	return out;
}

char *path_absolute(const char *path)
{
	auto_free char *cwd = NULL;

	if (path[0] == '/')
		return path_join("/", path);
	cwd = getcwd(NULL, 0);
	return cwd ? path_join(cwd, path) : NULL;
}

/* What lies below may be granted, but in /dev and /proc. */
static bool is_private(const char *cwd)
{
#define PRIVATE_PATH(path, kind) path,
	static const char *const dirs[] = { PRIVATE_DIRS(PRIVATE_PATH) };

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		if (str_eq(cwd, dirs[i]))
			return true;
	return str_starts(cwd, "/dev/") || str_starts(cwd, "/proc/");
}

enum path_workdir path_workdir_judge(const char *cwd, const char *home)
{
	size_t n = cwd ? strlen(cwd) : 0;

	if (!cwd || cwd[0] != '/')
		return PATH_WORKDIR_GONE;
	if (n == 1)
		return PATH_WORKDIR_ROOT;
	if (home && strncmp(home, cwd, n) == 0 && (home[n] == '\0' || home[n] == '/'))
		return PATH_WORKDIR_HOME;
	if (is_private(cwd))
		return PATH_WORKDIR_OWN;
	return PATH_WORKDIR_OK;
}

static int named_workdir(const char *given, char **ret, struct err *err)
{
	auto_free char *path = realpath(given, NULL);
	struct stat st;

	if (!path || stat(path, &st) < 0)
		return err_set(err, -errno, "--workdir '%s': %s", given, err_name(errno));
	if (!S_ISDIR(st.st_mode))
		return err_set(err, -ENOTDIR, "--workdir '%s': not a directory", given);
	if (is_private(path))
		return err_set(err, -EINVAL, "--workdir '%s': the sandbox has its own there", given);
	*ret = take_ptr(path);
	return 0;
}

int path_workdir(const char *given, char **ret, struct err *err)
{
	static const char *const why[] = {
		[PATH_WORKDIR_ROOT] = "the root directory",
		[PATH_WORKDIR_HOME] = "the home directory or above it",
		[PATH_WORKDIR_GONE] = "gone",
		[PATH_WORKDIR_OWN] = "one that the sandbox has its own of",
	};
	auto_free char *cwd = NULL, *home = NULL;
	enum path_workdir verdict;

	if (given)
		return named_workdir(given, ret, err);
	cwd = getcwd(NULL, 0);
	home = getenv("HOME") ? realpath(getenv("HOME"), NULL) : NULL;
	verdict = path_workdir_judge(cwd, home);
	if (verdict == PATH_WORKDIR_OK)
		*ret = take_ptr(cwd);
	else
		out_note("the current directory is %s and is not granted; starting in /sandbox "
			 "(--workdir DIR grants one)",
			why[verdict]);
	return 0;
}
