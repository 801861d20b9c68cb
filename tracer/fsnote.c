/*
 * Writes that a protected path refuses, noticed and put into the log.
 *
 * The kernel refuses them, by read-only mounts and mount points (protect.h), and tells nobody:
 * neither inotify nor fanotify sees a call that failed, Landlock's audit records are for root. So the
 * filter notifies calls that may write to a path by its name, as far as their registers say
 * (filter.c, add_writes()), and here the path is looked at.
 *
 * Every one of them is let go on, although memory was read: invariant 2 forbids that where what was
 * read *decides*. Nothing is granted or refused here. A sibling that exchanges the path behind our
 * back changes what is in the log, not what the kernel does, which judges the path that it itself
 * reads, by the mounts. Whatever fails on the way (a path that cannot be read, a name too long) is a
 * call that goes on without a line. An event that was collected is written before the answer.
 *
 * The look costs no I/O: it takes from the kernel's cache what is there (RESOLVE_CACHED), so a network
 * file system that hangs holds up its user alone. Protected paths are mount points, which the
 * cache always has.
 *
 * Before Linux 5.12, which has no RESOLVE_CACHED, nothing is found; and for a traced sandbox the filter
 * does not ask, because two stops for each call would be felt.
 *
 * Not noticed, for it would slow down what makes or removes files by the thousand (tar, git checkout,
 * rm -r): making a new file that is not executable with O_EXCL, link(2), unlink(2), removals relative
 * to a directory, times and owners.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/kernel.h"
#include "lib/str.h"
#include "tracer/inside.h"
#include "tracer/notify.h"
#include "tracer/once.h"
#include "tracer/owner.h"
#include "tracer/remote.h"
#include "tracer/sandbox.h"

enum { NAMES = 2, NONE = -1, ARG_CWD = -2 };

/* Where a call has its paths. */
static const struct named {
	int nr;
	struct {
		signed char dir; /* which argument; ARG_CWD: none, the working directory */
		signed char path; /* NONE: there is no second one */
	} names[NAMES];
	bool follows; /* a link at the end; else the name itself is meant */
	bool takes_away; /* a name that is a mount point resists as well */
} calls[] = {
	{ SYS_openat, { { 0, 1 }, { 0, NONE } }, true, false },
	{ SYS_openat2, { { 0, 1 }, { 0, NONE } }, true, false },
	{ SYS_truncate, { { ARG_CWD, 0 }, { 0, NONE } }, true, false },
	{ SYS_fchmodat, { { 0, 1 }, { 0, NONE } }, true, false },
	{ SYS_fchmodat2, { { 0, 1 }, { 0, NONE } }, true, false },
	{ SYS_renameat, { { 0, 1 }, { 2, 3 } }, false, true },
	{ SYS_renameat2, { { 0, 1 }, { 2, 3 } }, false, true },
	{ SYS_symlinkat, { { 1, 2 }, { 0, NONE } }, false, false },
	{ SYS_mkdirat, { { 0, 1 }, { 0, NONE } }, false, false },
	{ SYS_mknodat, { { 0, 1 }, { 0, NONE } }, false, false },
	{ SYS_unlinkat, { { 0, 1 }, { 0, NONE } }, false, true },
#ifdef SYS_open /* not on the newer architectures */
	{ SYS_open, { { ARG_CWD, 0 }, { 0, NONE } }, true, false },
	{ SYS_creat, { { ARG_CWD, 0 }, { 0, NONE } }, true, false },
	{ SYS_chmod, { { ARG_CWD, 0 }, { 0, NONE } }, true, false },
	{ SYS_rename, { { ARG_CWD, 0 }, { ARG_CWD, 1 } }, false, true },
	{ SYS_symlink, { { ARG_CWD, 1 }, { 0, NONE } }, false, false },
	{ SYS_mkdir, { { ARG_CWD, 0 }, { 0, NONE } }, false, false },
	{ SYS_mknod, { { ARG_CWD, 0 }, { 0, NONE } }, false, false },
#endif
};

static const struct named *named_of(int nr)
{
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		if (calls[i].nr == nr)
			return &calls[i];
	return NULL;
}

bool fsnote_is_for(int nr)
{
	return named_of(nr) != NULL;
}

/* What a name leads to. */
struct place {
	char path[PATH_MAX];
	bool is_ro; /* on a read-only mount */
};

static int look(int procdir, const char *path, int flags, struct place *ret)
{
	auto_close int fd = inside_open(procdir, path, flags, RESOLVE_CACHED);
	struct statvfs fs;

	if (fd < 0)
		return fd;
	ret->is_ro = fstatvfs(fd, &fs) == 0 && fs.f_flag & ST_RDONLY;
	return inside_path_of(fd, ret->path, sizeof(ret->path));
}

/* What is not there would come to be in its directory. */
static int look_beside(int procdir, const char *path, struct place *ret)
{
	char dir[PATH_MAX];
	const char *last;
	size_t n;
	int r;

	if (!str_copy(dir, sizeof(dir), path))
		return -ENAMETOOLONG;
	for (n = strlen(dir); n > 1 && dir[n - 1] == '/';)
		dir[--n] = '\0';
	last = strrchr(dir, '/') + 1;
	if (str_eq(last, "..") || last - dir < 2)
		return -ENOENT;
	dir[last - dir - 1] = '\0';
	r = look(procdir, dir, 0, ret);
	n = strlen(ret->path);
	return r == 0 && !str_format(ret->path + n, sizeof(ret->path) - n, "/%s", last)
		       ? -ENAMETOOLONG
		       : r;
}

/* A link that leads nowhere is looked at itself: it may be one of ours. */
static int find(int procdir, const char *path, bool follows, struct place *ret)
{
	int r = look(procdir, path, follows ? 0 : O_NOFOLLOW, ret);

	if (r == -ENOENT && follows)
		r = look(procdir, path, O_NOFOLLOW, ret);
	return r == -ENOENT || r == -ENOTDIR || r == -EAGAIN ? look_beside(procdir, path, ret) : r;
}

static bool is_refused(const struct sandbox *s, const struct named *call, const struct place *p)
{
	const struct protect_entry *e = protect_find(&s->protect, p->path);

	if (!e)
		return false;
	return (call->takes_away && str_eq(e->path, p->path)) || (e->is_ro && p->is_ro);
}

/* 1 when an event was collected, 0 when it was there already; -EINPROGRESS as owner_get(). */
static int note(struct sandbox *s, pid_t tid, const struct place *p, enum event_action action,
	const char *reason)
{
	const struct owner *who;
	int r = owner_get(s->owners, tid, &who);

	if (r < 0)
		return r;
	if (!once_is_new(s->once, "fs", p->path, 0, who->binary))
		return 0;
	sandbox_log(s, &(struct event){ .level = EVENT_WARN,
			       .adapter = EVENT_FS,
			       .action = action,
			       .addr = p->path,
			       .binary = who->binary,
			       .pid = (uint32_t)who->pid,
			       .ancestors = who->ancestors,
			       .reason = reason });
	return 1;
}

/*
 * A repository that is made below a granted directory is the sandbox's to furnish, and git of the
 * host would obey it.
 */
static bool makes_repository(const struct sandbox *s, int nr, const struct place *p)
{
#ifdef SYS_mkdir
	if (nr != SYS_mkdir && nr != SYS_mkdirat)
		return false;
#else
	if (nr != SYS_mkdirat)
		return false;
#endif
	return str_ends(p->path, "/.git") && !protect_find(&s->protect, p->path) &&
	       mounts_is_granted(&s->mounts, p->path);
}

/* gcc 12: only calls of the table get here. */
ANALYZER_OFF("-Wanalyzer-null-dereference")
static int look_at(struct sandbox *s, struct notifier *n, const struct call *c,
	const struct named *call, size_t i)
{
	const __u64 *args = c->req.data.args;
	const pid_t tid = (pid_t)c->req.pid;
	int dir = call->names[i].dir == ARG_CWD ? INSIDE_CWD : (int)args[call->names[i].dir];
	int procdir = owner_procdir(s->owners, tid), r;
	char given[PATH_MAX], path[PATH_MAX];
	struct place p;

	r = procdir < 0 ? procdir
			: remote_read_str(tid, args[call->names[i].path], given, sizeof(given));
	if (r == 0 && given[0])
		r = inside_absolute(procdir, dir, given, path, sizeof(path));
	if (r < 0 || !given[0] || find(procdir, path, call->follows, &p) < 0 ||
		!notifier_is_valid(n, c))
		return 0;
	if (is_refused(s, call, &p))
		return note(s, tid, &p, EVENT_DENY,
			"protected: programs outside run or obey it (--rw PATH grants it)");
	if (makes_repository(s, c->req.data.nr, &p))
		return note(s, tid, &p, EVENT_NONE,
			"a repository is made here: git outside would obey its hooks and settings");
	return 0;
}
ANALYZER_ON

/* openat2() has its flags in memory. A flag that is not seen is an event that is not there. */
static bool may_write(const struct call *c)
{
	struct open_how how;

	if (c->req.data.nr != SYS_openat2)
		return true;
	return remote_read((pid_t)c->req.pid, c->req.data.args[2], &how, sizeof(how)) == 0 &&
	       how.flags & (O_ACCMODE | O_CREAT | O_TRUNC);
}

struct answer fsnote_handle(struct sandbox *s, struct notifier *n, struct call *c)
{
	const struct named *call = named_of(c->req.data.nr);
	bool is_noted = false;

	for (size_t i = 0; may_write(c) && i < NAMES && call->names[i].path != NONE; i++) {
		int r = look_at(s, n, c, call, i);

		if (r == -EINPROGRESS)
			return (struct answer){ .kind = ANSWER_PARK_HASH, .fd = -1 };
		is_noted |= r == 1;
	}
	return (struct answer){ .kind = ANSWER_CONTINUE, .is_unjudged = !is_noted, .fd = -1 };
}
