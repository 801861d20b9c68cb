#include "tracer/cafiles.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "tracer/etcfiles.h"
#include "tracer/javastore.h"

enum { BUNDLE_MAX = 16 * 1024 * 1024 };

static int make_one(int dir, const char *name, struct err *err)
{
	int fd = openat(dir, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd < 0 ? err_set(err, -errno, "runtime directory: %s: %s", name, err_name(errno)) : fd;
}

int cafiles_make(struct cafiles *c, int runtime_dir, struct err *err)
{
	c->ca = make_one(runtime_dir, CAFILES_CA, err);
	if (c->ca < 0)
		return c->ca;
	c->bundle = make_one(runtime_dir, CAFILES_BUNDLE, err);
	if (c->bundle < 0 || !etcfiles_has_java())
		return c->bundle < 0 ? c->bundle : 0;
	c->java = make_one(runtime_dir, CAFILES_JAVA, err);
	if (c->java < 0)
		return c->java;
	/* keytool(1) looks at the size first, and never opens an empty one. */
	return ftruncate(c->java, 1) < 0 ? err_set(err, -errno, "runtime directory: %s: %s",
						   CAFILES_JAVA, err_name(errno))
					 : 0;
}

/* All of @from, without a detour through our memory; its last line may lack its end. */
static int append(int to, int from)
{
	size_t left = BUNDLE_MAX;
	ssize_t n;

	do
		n = sendfile(to, from, NULL, left);
	while (n > 0 && (left -= (size_t)n) > 0);
	if (n < 0)
		return -errno;
	return left == 0 ? -EFBIG : fd_write_all(to, "\n", 1);
}

int cafiles_prepare(struct cafiles *c, const char *extra, struct err *err)
{
	auto_close int host = etcfiles_open_trust();
	auto_close int more = extra ? open(extra, O_RDONLY | O_CLOEXEC) : -1;
	int r = extra && more < 0 ? -errno : 0;

	if (r == 0 && host >= 0)
		r = append(c->bundle, host);
	if (r == 0 && more >= 0)
		r = append(c->bundle, more);
	if (r == 0 && more >= 0)
		r = lseek(more, 0, SEEK_SET) < 0 ? -errno : append(c->ca, more);
	if (r < 0)
		return err_set(err, r, "writing the trust bundle: %s", err_name(r));
	c->is_leased = fcntl(c->ca, F_SETLEASE, F_WRLCK) == 0 &&
		       fcntl(c->bundle, F_SETLEASE, F_WRLCK) == 0 &&
		       (c->java < 0 || fcntl(c->java, F_SETLEASE, F_WRLCK) == 0);
	return 0;
}

/* What the bundle says, in Java's words. */
static int fill_java(struct cafiles *c)
{
	auto_buf struct buf store = { .max = BUNDLE_MAX };
	auto_free char *pem = NULL;
	int r;

	if (c->java < 0)
		return 0;
	r = fd_slurp(c->bundle, BUNDLE_MAX, &pem, NULL);
	if (r == 0)
		r = javastore_build(&store, pem);
	return r < 0 ? r : fd_write_all(c->java, buf_head(&store), store.len);
}

int cafiles_fill(struct cafiles *c, const char *pem, struct err *err)
{
	int r = c->ca < 0 || c->bundle < 0 ? -EBADF : fd_write_all(c->ca, pem, strlen(pem));

	if (r == 0)
		r = fd_write_all(c->bundle, pem, strlen(pem));
	if (r == 0)
		r = fill_java(c);
	cafiles_release(c);
	return r < 0 ? err_set(err, r, "writing the trust bundle: %s", err_name(r)) : 0;
}

/* A lease goes with its descriptor. */
void cafiles_release(struct cafiles *c)
{
	cleanup_close(&c->ca);
	cleanup_close(&c->bundle);
	cleanup_close(&c->java);
	c->ca = c->bundle = c->java = -1;
	c->is_leased = false;
}
