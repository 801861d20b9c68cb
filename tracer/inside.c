#include "tracer/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/str.h"

/* Of two spellings of /proc/self/fd/N the text after the number; NULL for another path. */
static const char *after_own_fd(const char *path, int *ret_fd)
{
	static const char *const prefixes[] = { "/proc/self/fd/", "/proc/thread-self/fd/",
		"/dev/fd/" };

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		char *end;
		long fd;

		if (!str_starts(path, prefixes[i]))
			continue;
		fd = strtol(path + strlen(prefixes[i]), &end, 10);
		if (end == path + strlen(prefixes[i]) || fd < 0 || fd > INT_MAX)
			return NULL;
		*ret_fd = (int)fd;
		return end;
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

	if (path[0] == '/' && !(rest = after_own_fd(path, &dirfd)))
		return str_copy(out, size, path) ? 0 : -ENAMETOOLONG;
	if (dirfd != INSIDE_CWD)
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
