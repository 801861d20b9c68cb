#include "tracer/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/str.h"

/*
 * What lies behind the links of /proc is no path that openat2(2) would follow below a root: of the
 * caller's own the text after the link, and the link's name in its /proc directory. NULL for another
 * path.
 */
static const char *after_own_link(const char *path, char *ret_link, size_t size)
{
	static const struct {
		const char *prefix, *link;
		bool has_number;
	} own[] = {
		{ "/proc/self/fd/", "fd/", true },
		{ "/proc/thread-self/fd/", "fd/", true },
		{ "/dev/fd/", "fd/", true },
		{ "/proc/self/cwd", "cwd", false },
		{ "/proc/thread-self/cwd", "cwd", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		const char *rest = path + strlen(own[i].prefix);
		size_t n;

		if (!str_starts(path, own[i].prefix))
			continue;
		n = own[i].has_number ? strspn(rest, "0123456789") : 0;
		if ((own[i].has_number && n == 0) || (rest[n] && rest[n] != '/') ||
			!str_format(ret_link, size, "%s%.*s", own[i].link, (int)n, rest))
			return NULL;
		return rest + n;
	}
	return NULL;
}

static int read_link(int procdir, const char *name, char *out, size_t size)
{
	ssize_t n = readlinkat(procdir, name, out, size - 1);

	if (n < 0)
		return -errno;
	out[n] = '\0';
	return out[0] == '/' ? 0 : -ENOENT;
}

int inside_absolute(int procdir, int dirfd, const char *path, char *out, size_t size)
{
	char base[PATH_MAX], link[64] = "cwd";
	const char *rest = path;
	int r;

	if (path[0] == '/' && !(rest = after_own_link(path, link, sizeof(link))))
		return str_copy(out, size, path) ? 0 : -ENAMETOOLONG;
	if (path[0] != '/' && dirfd != INSIDE_CWD)
		(void)snprintf(link, sizeof(link), "fd/%d", dirfd);
	r = read_link(procdir, link, base, sizeof(base));
	if (r < 0)
		return r;
	return str_format(out, size, "%s%s%s", base, *rest && *rest != '/' ? "/" : "", rest) ?
		       0 :
		       -ENAMETOOLONG;
}

int inside_open(int procdir, const char *path, int flags, unsigned long resolve)
{
	struct open_how how = { .flags = (unsigned int)(O_PATH | O_CLOEXEC | flags),
		.resolve = RESOLVE_IN_ROOT | resolve };
	auto_close int root = openat(procdir, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd;

	if (root < 0)
		return -errno;
	fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	return fd < 0 ? -errno : fd;
}

int inside_path_of(int fd, char *out, size_t size)
{
	char link[64];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, out, size - 1);
	if (n < 0)
		return -errno;
	out[n] = '\0';
	return 0;
}
