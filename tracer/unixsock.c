/*
 * Unix sockets: judged by the inode that the caller's path leads to.
 *
 * Abstract names belong to the network namespace: the host's cannot be reached by any spelling. A
 * path is resolved in the caller's own view (its root, its directory, its /proc/self), to an inode
 * that is then held open, and the connection is made to that inode. It may be made
 *  - in the sandbox's private directories, which the host does not have, and
 *  - elsewhere (the working directory, granted paths) to sockets that were bound inside the
 *    sandbox, as the kernel's own table of its network namespace says.
 * A socket that a host process bound in a granted tree is neither: D-Bus, Docker, an SSH agent.
 *
 * That table knows an inode by number and device. On btrfs the device is that of the whole file system,
 * of which every subvolume numbers its inodes from the start: a sandbox that makes files until the
 * number is that of the host's socket would be mistaken for its owner. So there no socket in a granted
 * tree counts as the sandbox's own, and the refusal says what to do.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "tracer/inside.h"
#include "tracer/owner.h"
#include "tracer/sandbox.h"
#include "tracer/sockcall.h"

enum { DIAG_CHUNK = 32768, FDINFO_MAX = 4096, MOUNTINFO_MAX = 1024 * 1024 };

/* An inode as that table has it. */
struct inode {
	uint32_t ino;
	dev_t dev;
};

/* One message of a dump: true when it is about the inode. */
static bool is_about(const struct nlmsghdr *h, const struct inode *i)
{
	const struct unix_diag_msg *m = NLMSG_DATA(h);
	const struct rtattr *a = (const struct rtattr *)(m + 1);
	int len = (int)(h->nlmsg_len - NLMSG_LENGTH(sizeof(*m)));

	for (; RTA_OK(a, len); a = RTA_NEXT(a, len)) {
		const struct unix_diag_vfs *vfs = RTA_DATA(a);

		if (a->rta_type == UNIX_DIAG_VFS && vfs->udiag_vfs_ino == i->ino &&
			makedev(vfs->udiag_vfs_dev >> 20, vfs->udiag_vfs_dev & 0xfffff) == i->dev)
			return true;
	}
	return false;
}

/* Whether a socket of the sandbox's network namespace is bound to the inode. */
static bool is_bound_inside(int diag, const struct inode *i)
{
	struct {
		struct nlmsghdr head;
		struct unix_diag_req req;
	} q = { .head = { .nlmsg_len = sizeof(q),
			.nlmsg_type = SOCK_DIAG_BY_FAMILY,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.req = { .sdiag_family = AF_UNIX, .udiag_states = ~0u, .udiag_show = UDIAG_SHOW_VFS } };
	auto_free char *chunk = malloc(DIAG_CHUNK);
	bool is_found = false;

	if (diag < 0 || !chunk || send(diag, &q, sizeof(q), 0) < 0)
		return false;
	for (;;) {
		ssize_t n = recv(diag, chunk, DIAG_CHUNK, 0);
		const struct nlmsghdr *h = (const struct nlmsghdr *)chunk;

		if (n <= 0)
			return false;
		for (; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
			if (h->nlmsg_type == NLMSG_DONE)
				return is_found;
			if (h->nlmsg_type == NLMSG_ERROR)
				return false;
			is_found = is_found || is_about(h, i);
		}
	}
}

/* The number after @key at the start of a line of /proc/self/fdinfo/FD: false when there is none. */
static bool fdinfo(const char *text, const char *key, uint64_t *ret)
{
	const char *p = strstr(text, key);
	char *end;

	if (!p || (p != text && p[-1] != '\n'))
		return false;
	*ret = strtoull(p + strlen(key), &end, 10);
	return *end == '\n' || *end == '\0';
}

/* The device of the file system that mount @id shows: the third word of its line. */
static bool mount_device(const char *mountinfo, uint64_t id, dev_t *ret)
{
	for (const char *line = mountinfo; line; line = strchr(line, '\n')) {
		unsigned long long nr;
		unsigned int maj, min;

		line += *line == '\n';
		if (sscanf(line, "%llu %*u %u:%u ", &nr, &maj, &min) != 3 || nr != id)
			continue;
		*ret = makedev(maj, min);
		return true;
	}
	return false;
}

/*
 * stat(2) of overlayfs answers with a number of a lower file system; the table has the kernel's own,
 * which is told by the descriptor (5.15) and by the list of mounts.
 */
static bool overlay_inode(int procdir, int fd, struct inode *ret)
{
	auto_free char *info = NULL, *mounts = NULL;
	uint64_t ino, mount;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	if (fd_slurp_at(AT_FDCWD, path, FDINFO_MAX, &info, NULL) < 0 ||
		!fdinfo(info, "ino:\t", &ino) || !fdinfo(info, "mnt_id:\t", &mount) ||
		fd_slurp_at(procdir, "mountinfo", MOUNTINFO_MAX, &mounts, NULL) < 0)
		return false;
	ret->ino = (uint32_t)ino;
	return mount_device(mounts, mount, &ret->dev);
}

/* False: it has none that would tell it from others. */
static bool inode_of(int procdir, int fd, const struct stat *st, const struct statfs *fs, struct inode *ret)
{
	if (fs->f_type == BTRFS_SUPER_MAGIC)
		return false;
	if (fs->f_type == OVERLAYFS_SUPER_MAGIC)
		return overlay_inode(procdir, fd, ret);
	*ret = (struct inode){ (uint32_t)st->st_ino, st->st_dev };
	return true;
}

static int judge_inode(struct sandbox *s, const struct sockcall *sc, int procdir, int fd)
{
	char path[PATH_MAX] = "";
	struct inode inode;
	struct statfs fs;
	struct stat st;

	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
		return -errno;
	if (!S_ISSOCK(st.st_mode))
		return -ECONNREFUSED;
	(void)inside_path_of(fd, path, sizeof(path));
	if (!mounts_is_granted(&s->mounts, path) ||
		(inode_of(procdir, fd, &st, &fs, &inode) &&
			is_bound_inside(s->sockets.diag, &inode)))
		return 0;
	sockcall_log_refused(s, sc, EVENT_UNIX, "unix", path, 0,
		fs.f_type == BTRFS_SUPER_MAGIC ?
			"on btrfs a socket of the sandbox cannot be told from one of the host: "
			"bind it in /tmp" :
			"a socket of the host, not of the sandbox");
	return -EACCES;
}

int unixsock_resolve(struct sandbox *s, struct notifier *n, const struct sockcall *sc,
	struct call *c, const struct sockaddr_storage *ss, socklen_t len,
	struct sockaddr_storage *ret, socklen_t *ret_len, int *ret_fd)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)ss;
	struct sockaddr_un *out = (struct sockaddr_un *)ret;
	char given[sizeof(un->sun_path) + 1] = "", path[PATH_MAX];
	auto_close int fd = -1;
	int procdir, r;

	*ret = *ss;
	*ret_len = len;
	*ret_fd = -1;
	/* Unnamed, abstract, or another family: the kernel answers, within the namespace. */
	if (un->sun_family != AF_UNIX || len <= offsetof(struct sockaddr_un, sun_path) ||
		!un->sun_path[0])
		return 0;
	if (len > sizeof(*un))
		return -EINVAL;
	memcpy(given, un->sun_path, len - offsetof(struct sockaddr_un, sun_path));
	procdir = owner_procdir(s->owners, sc->tid);
	r = procdir < 0 ? procdir : inside_absolute(procdir, INSIDE_CWD, given, path, sizeof(path));
	if (r < 0)
		return r;
	fd = inside_open(procdir, path, 0, 0);
	if (fd < 0)
		return fd;
	if (!notifier_is_valid(n, c))
		return -ESRCH;
	r = judge_inode(s, sc, procdir, fd);
	if (r < 0)
		return r;
	memset(out, 0, sizeof(*out));
	out->sun_family = AF_UNIX;
	(void)snprintf(out->sun_path, sizeof(out->sun_path), "/proc/self/fd/%d", fd);
	*ret_len = sizeof(*out);
	*ret_fd = take_fd(fd);
	return 0;
}

struct answer unixsock_connect(struct sandbox *s, struct notifier *n, const struct sockcall *sc,
	struct call *c, const struct sockaddr_storage *ss, socklen_t len)
{
	struct sockaddr_storage there;
	auto_close int held = -1;
	socklen_t there_len;
	int r = unixsock_resolve(s, n, sc, c, ss, len, &there, &there_len, &held);

	if (r < 0)
		return answer_error(r);
	r = sockcall_connect(sc, (struct sockaddr *)&there, there_len);
	/* A full backlog gives nothing to wait on: the question is put again in a moment. */
	if (r == -EAGAIN && !sockcall_is_nonblocking(sc))
		return answer_retry(sc, -EAGAIN);
	return r < 0 ? answer_error(r) : answer_value(0);
}
