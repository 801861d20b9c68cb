#include "tracer/cafiles.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "tracer/etcfiles.h"

enum { BUNDLE_MAX = 16 * 1024 * 1024 };

int cafiles_make(int runtime_dir, struct err *err)
{
	static const char *const names[] = { CAFILES_CA, CAFILES_BUNDLE };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		auto_close int fd = openat(runtime_dir, names[i],
			O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (fd < 0)
			return err_set(err, -errno, "runtime directory: %s: %s", names[i],
				err_name(errno));
	}
	return 0;
}

/* All of @from, without a detour through our memory. */
static int copy_all(int to, int from)
{
	size_t left = BUNDLE_MAX;
	ssize_t n;

	do
		n = sendfile(to, from, NULL, left);
	while (n > 0 && (left -= (size_t)n) > 0);
	return n < 0 ? -errno : left == 0 ? -EFBIG : 0;
}

static int open_to_fill(int dir, const char *name)
{
	int fd = openat(dir, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : fd;
}

static int fill_ca(int dir, const char *pem)
{
	auto_close int fd = open_to_fill(dir, CAFILES_CA);

	return fd < 0 ? fd : fd_write_all(fd, pem, strlen(pem));
}

/* The last line of a file may lack its end. */
static int append(int to, int from)
{
	int r = copy_all(to, from);

	return r < 0 ? r : fd_write_all(to, "\n", 1);
}

static int fill_bundle(int dir, const char *extra, const char *pem)
{
	auto_close int fd = open_to_fill(dir, CAFILES_BUNDLE);
	auto_close int host = etcfiles_open_trust();
	auto_close int more = extra ? open(extra, O_RDONLY | O_CLOEXEC) : -1;
	int r = fd < 0 ? fd : 0;

	if (extra && more < 0)
		return -errno;
	if (r == 0 && host >= 0)
		r = append(fd, host);
	if (r == 0 && more >= 0)
		r = append(fd, more);
	return r < 0 ? r : fd_write_all(fd, pem, strlen(pem));
}

int cafiles_fill(int runtime_dir, const char *extra, const char *pem, struct err *err)
{
	int r = fill_ca(runtime_dir, pem);

	if (r == 0)
		r = fill_bundle(runtime_dir, extra, pem);
	return r < 0 ? err_set(err, r, "writing the trust bundle: %s", err_name(r)) : 0;
}
