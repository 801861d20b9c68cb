#include "tracer/etcfiles.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/str.h"
#include "tracer/addrs.h"
#include "tracer/mounts.h"

/* Debian and SUSE, Fedora, and the older places of both; the first is the source. */
static const char *const bundles[] = { "/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
	"/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem" };

/* Debian, Temurin's packages there, Fedora, and SUSE; the stores of a Java are links to them. */
static const char *const java_stores[] = { "/etc/ssl/certs/java/cacerts",
	"/etc/ssl/certs/adoptium/cacerts", "/etc/pki/ca-trust/extracted/java/cacerts",
	"/etc/pki/java/cacerts", "/var/lib/ca-certificates/java-cacerts" };

/*
 * Where a file must be mounted so that opening @path finds it. On many systems /etc/resolv.conf is
 * a link into /run, which is private inside: then the file goes where the link points.
 */
static const char *place_of(const char *path, char *out)
{
	char text[PATH_MAX], joined[2 * PATH_MAX];
	ssize_t n;

	if (realpath(path, out))
		return out;
	n = readlink(path, text, sizeof(text) - 1);
	if (n < 0)
		return path;
	text[n] = '\0';
	if (text[0] == '/')
		return str_copy(out, PATH_MAX, text) ? out : path;
	if (str_starts(text, "../") && !strstr(text + 3, "..")) {
		(void)snprintf(joined, sizeof(joined), "/%s", text + 3);
		return str_copy(out, PATH_MAX, joined) ? out : path;
	}
	return path;
}

static int add_file(struct mounts *m, const char *path, struct err *err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static int add_file(struct mounts *m, const char *path, struct err *err, const char *fmt, ...)
{
	auto_buf struct buf text;
	char place[PATH_MAX];
	va_list ap;
	int r, fd;

	buf_init(&text, 16384);
	va_start(ap, fmt);
	r = buf_vprintf(&text, fmt, ap);
	va_end(ap);
	if (r < 0)
		return r;
	fd = fd_memfile("etc", buf_head(&text), text.len);
	if (fd < 0)
		return err_set(err, fd, "%s of the sandbox: %s", path, err_name(fd));
	return mounts_add(m, MOUNT_DATA, NULL, place_of(path, place), fd, true);
}

static int add_account(struct mounts *m, const struct account *who, struct err *err)
{
	const char *shell = access("/bin/bash", X_OK) == 0 ? "/bin/bash" : "/bin/sh";
	int r;

	r = add_file(m, "/etc/passwd", err,
		"root:x:0:0:root:/root:/bin/sh\n"
		"sandbox:x:%u:%u:sandbox:/sandbox:%s\n"
		"nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
		who->uid, who->gid, shell);
	if (r < 0)
		return r;
	return add_file(m, "/etc/group", err, "root:x:0:\nsandbox:x:%u:\nnogroup:x:65534:\n",
		who->gid);
}

int etcfiles_add(struct mounts *m, const char *name, const struct account *who, struct err *err)
{
	int r = add_account(m, who, err);

	if (r == 0)
		r = add_file(m, "/etc/hostname", err, "%s\n", name);
	if (r == 0)
		r = add_file(m, "/etc/hosts", err,
			"127.0.0.1\tlocalhost %s\n::1\tlocalhost ip6-localhost %s\n", name, name);
	if (r == 0)
		r = add_file(m, "/etc/resolv.conf", err,
			"# The sandbox's own resolver: every name has an address, policy decides.\n"
			"nameserver " ADDRS_HOST4 "\noptions edns0 timeout:5 attempts:2\n");
	if (r == 0)
		r = add_file(m, "/etc/nsswitch.conf", err,
			"passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n"
			"networks: files\nprotocols: files\nservices: files\nethers: files\n"
			"rpc: files\n");
	return r;
}

bool etcfiles_names_resolver(const struct mounts *m)
{
	char out[PATH_MAX];
	const char *place = place_of("/etc/resolv.conf", out);

	for (size_t i = 0; i < m->n; i++)
		if (m->list[i].kind == MOUNT_DATA && str_eq(m->list[i].dest, place))
			return true;
	return false;
}

static int mount_over(struct mounts *m, const char *const *paths, size_t n, const char *file)
{
	char place[PATH_MAX];
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		if (realpath(paths[i], place))
			r = mounts_add(m, MOUNT_RO, file, place, -1, true);
	}
	return r;
}

int etcfiles_add_trust(struct mounts *m, const char *bundle, const char *java)
{
	int r = mount_over(m, bundles, ARRAY_SIZE(bundles), bundle);

	return r < 0 ? r : mount_over(m, java_stores, ARRAY_SIZE(java_stores), java);
}

bool etcfiles_has_java(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(java_stores); i++) {
		if (access(java_stores[i], F_OK) == 0)
			return true;
	}
	return false;
}

int etcfiles_open_trust(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(bundles); i++) {
		int fd = open(bundles[i], O_RDONLY | O_CLOEXEC);

		if (fd >= 0)
			return fd;
	}
	return -ENOENT;
}
