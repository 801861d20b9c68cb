#include "tracer/cafiles.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

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

static int write_into(int dir, const char *name, const char *a, size_t a_len, const char *b)
{
	auto_close int fd = openat(dir, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	int r;

	if (fd < 0)
		return -errno;
	r = fd_write_all(fd, a, a_len);
	if (r == 0 && a_len && a[a_len - 1] != '\n')
		r = fd_write_all(fd, "\n", 1);
	return r < 0 ? r : fd_write_all(fd, b, strlen(b));
}

int cafiles_fill(int runtime_dir, const char *pem, struct err *err)
{
	auto_close int trust = etcfiles_open_trust();
	auto_free char *host = NULL;
	size_t len = 0;
	int r = 0;

	if (trust >= 0)
		r = fd_slurp(trust, BUNDLE_MAX, &host, &len);
	if (r == 0)
		r = write_into(runtime_dir, CAFILES_CA, "", 0, pem);
	if (r == 0)
		r = write_into(runtime_dir, CAFILES_BUNDLE, host ? host : "", len, pem);
	return r < 0 ? err_set(err, r, "writing the trust bundle: %s", err_name(r)) : 0;
}
