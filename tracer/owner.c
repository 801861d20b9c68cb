#include "tracer/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/analyzer.h"
#include "lib/cleanup.h"
#include "lib/kernel.h"
#include "lib/str.h"
#include "tracer/filehash.h"
#include "tracer/procfs.h"

enum { BUCKETS = 2048 };

/* What a file was when it was hashed: a change of any of these asks for the hash again. */
struct fingerprint {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
};

enum binary_state {
	BINARY_NEW = 0, /* never hashed; nothing is known */
	BINARY_HASHING, /* the worker has it */
	BINARY_TRUSTED, /* sha256 is the hash of print */
	BINARY_CHANGED, /* print has another hash than the first one seen */
	BINARY_UNREADABLE,
};

struct binary {
	struct owners *owners;
	char *path;
	enum binary_state state;
	struct fingerprint print;      /* of the last file hashed or being hashed */
	char sha256[FILEHASH_HEX + 1]; /* the first hash seen; empty before */
	char *denied;		       /* CHANGED, UNREADABLE: why */
	LIST_ENTRY(binary) link;
};

struct task {
	struct owner pub;
	bool is_by_process; /* its pidfd is that of its process, whose descriptors need not be its own */
	int procdir;
	struct fingerprint exe;
	struct binary *binary;	/* NULL: no path that names the file */
	struct task *parent;	/* NULL: started by pid 1 */
	unsigned int n_children;
	char denied[512];
	LIST_ENTRY(task) bucket;
	TAILQ_ENTRY(task) lru;
};

struct owners {
	struct filehash *hashes;
	pid_t init_pid;
	int root; /* the sandbox's own root directory */
	void (*on_hashed)(void *arg);
	void *arg;
	LIST_HEAD(, task) tasks[BUCKETS];
	TAILQ_HEAD(, task) lru; /* last used at the tail */
	unsigned int n_tasks, tasks_max;
	LIST_HEAD(, binary) binaries[BUCKETS];
	unsigned int n_binaries;
};

static unsigned int hash_text(const char *s)
{
	unsigned int h = 2166136261u;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 16777619u;
	return h;
}

/* A task is two descriptors; they leave half of all to others. */
static unsigned int tasks_max(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur / 4 >= OWNER_TASKS_MAX)
		return OWNER_TASKS_MAX;
	return l.rlim_cur >= 8 ? (unsigned int)(l.rlim_cur / 4) : 2;
}

struct owners *owners_new(struct filehash *hashes, pid_t init_pid, void (*on_hashed)(void *arg),
	void *arg)
{
	struct owners *o = calloc(1, sizeof(*o));
	char path[64];

	if (!o)
		return NULL;
	(void)str_format(path, sizeof(path), "/proc/%d/root", (int)init_pid);
	o->root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (o->root < 0) {
		free(o);
		return NULL;
	}
	o->hashes = hashes;
	o->init_pid = init_pid;
	o->tasks_max = tasks_max();
	o->on_hashed = on_hashed;
	o->arg = arg;
	TAILQ_INIT(&o->lru);
	return o;
}

/* Files. */

static struct fingerprint fingerprint_of(const struct stat *st)
{
	return (struct fingerprint){ .dev = st->st_dev,
		.ino = st->st_ino,
		.size = st->st_size,
		.mtime = st->st_mtim,
		.ctime = st->st_ctim };
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool fingerprint_equal(const struct fingerprint *a, const struct fingerprint *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	       same_time(&a->mtime, &b->mtime) && same_time(&a->ctime, &b->ctime);
}

static struct binary *binary_find(struct owners *o, const char *path)
{
	struct binary *b;

	LIST_FOREACH(b, &o->binaries[hash_text(path) % BUCKETS], link)
		if (strcmp(b->path, path) == 0)
			return b;
	return NULL;
}

static struct binary *binary_add(struct owners *o, const char *path)
{
	struct binary *b;

	b = calloc(1, sizeof(*b));
	if (!b || !(b->path = strdup(path))) {
		free(b);
		return NULL;
	}
	b->owners = o;
	LIST_INSERT_HEAD(&o->binaries[hash_text(path) % BUCKETS], b, link);
	o->n_binaries++;
	return b;
}

static void binary_refuse(struct binary *b, enum binary_state state, const char *hex)
{
	char *text = NULL;
	int n;

	b->state = state;
	if (hex)
		n = asprintf(&text,
			"binary integrity violation: %s hash changed (cached: %.12s, current: %.12s)",
			b->path, b->sha256, hex);
	else
		n = asprintf(&text, "binary %s cannot be hashed", b->path);
	free(b->denied);
	b->denied = n < 0 ? NULL : text;
}

static void on_hash(void *arg, int error, const char *hex)
{
	struct binary *b = arg;

	if (error) {
		binary_refuse(b, BINARY_UNREADABLE, NULL);
	} else if (!b->sha256[0] || strcmp(b->sha256, hex) == 0) {
		(void)str_copy(b->sha256, sizeof(b->sha256), hex);
		b->state = BINARY_TRUSTED;
	} else {
		binary_refuse(b, BINARY_CHANGED, hex);
	}
	b->owners->on_hashed(b->owners->arg);
}

/* What says nothing about the file and will be over: it refuses this question, not the next. */
static bool is_shortage(int r)
{
	return r == -EMFILE || r == -ENFILE || r == -ENOMEM || r == -EAGAIN;
}

static int binary_hash(struct binary *b, int procdir, const struct fingerprint *print)
{
	struct stat st;
	int fd = openat(procdir, "exe", O_RDONLY | O_CLOEXEC);
	int r;

	if (fd < 0) {
		r = -errno;
		if (r == -ENOENT || r == -ESRCH)
			return -ESRCH;
		if (is_shortage(r))
			return r;
		b->print = *print;
		binary_refuse(b, BINARY_UNREADABLE, NULL);
		return 0;
	}
	if (fstat(fd, &st) < 0) {
		(void)close(fd);
		return -ESRCH;
	}
	/* The fingerprint of the file that is read, whatever the task executes by now. */
	b->print = fingerprint_of(&st);
	b->state = BINARY_HASHING;
	r = filehash_start(b->owners->hashes, fd, on_hash, b);
	if (is_shortage(r)) {
		b->state = BINARY_NEW;
		return r;
	}
	if (r < 0)
		binary_refuse(b, BINARY_UNREADABLE, NULL);
	return r < 0 ? 0 : -EINPROGRESS;
}

/* 0 when what is known of @b is about the file @print; -EINPROGRESS; -ESRCH. */
static int binary_settle(struct binary *b, int procdir, const struct fingerprint *print)
{
	if (b->state == BINARY_HASHING)
		return -EINPROGRESS;
	if (b->state != BINARY_NEW && fingerprint_equal(&b->print, print))
		return 0;
	return binary_hash(b, procdir, print);
}

/* Whether @path, in the sandbox's mounts, is the file of @print: 1, 0, or -errno of a shortage. */
static int path_names(const struct owners *o, const char *path, const struct fingerprint *print)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS };
	auto_close int fd = -1;
	struct stat st;

	fd = (int)syscall(SYS_openat2, o->root, path, &how, sizeof(how));
	if (fd < 0 && is_shortage(-errno))
		return -errno;
	return fd >= 0 && fstat(fd, &st) == 0 && st.st_dev == print->dev && st.st_ino == print->ino;
}

/* Tasks. */

static void task_free(struct owners *o, struct task *t)
{
	if (t->parent)
		t->parent->n_children--;
	LIST_REMOVE(t, bucket);
	TAILQ_REMOVE(&o->lru, t, lru);
	o->n_tasks--;
	(void)close(t->procdir);
	if (t->pub.pidfd >= 0)
		(void)close(t->pub.pidfd);
	free((void *)t->pub.ancestors);
	free(t);
}

/* Takes @t out of the index; its memory stays while children point at it. */
static void task_forget(struct owners *o, struct task *t)
{
	t->pub.tid = 0;
	LIST_REMOVE(t, bucket);
	LIST_INSERT_HEAD(&o->tasks[0], t, bucket);
	while (t && t->pub.tid == 0 && t->n_children == 0) {
		struct task *parent = t->parent;

		task_free(o, t);
		t = parent;
	}
}

void owners_free(struct owners *o)
{
	if (!o)
		return;
	for (struct task *t; (t = TAILQ_FIRST(&o->lru));) {
		t->parent = NULL;
		task_free(o, t);
	}
	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct binary *b; (b = LIST_FIRST(&o->binaries[i]));) {
			LIST_REMOVE(b, link);
			free(b->path);
			free(b->denied);
			free(b);
		}
	}
	(void)close(o->root);
	free(o);
}

static struct task *task_find(struct owners *o, pid_t tid)
{
	struct task *t;

	LIST_FOREACH(t, &o->tasks[(unsigned int)tid % BUCKETS], bucket)
		if (t->pub.tid == tid)
			return t;
	return NULL;
}

/*
 * Whether @t still is what was recorded. A parent whose /proc/PID/exe can be read has not ended,
 * so its child has not been handed to anybody else: one stat a level covers the whole ancestry.
 */
static bool task_stands(const struct task *t)
{
	for (; t; t = t->parent) {
		struct fingerprint now;
		struct stat st;

		if (fstatat(t->procdir, "exe", &st, 0) < 0)
			return false;
		now = fingerprint_of(&st);
		if (!fingerprint_equal(&now, &t->exe))
			return false;
	}
	return true;
}

static void make_room(struct owners *o)
{
	struct task *t, *next;

	for (t = TAILQ_FIRST(&o->lru); t && o->n_tasks >= o->tasks_max; t = next) {
		next = TAILQ_NEXT(t, lru);
		if (t->n_children == 0 && t->pub.tid != 0) {
			task_forget(o, t);
			next = TAILQ_FIRST(&o->lru);
		}
	}
}

/* A pidfd of the very thread where the kernel can (6.9), else of its process: @ret_is_by_process. */
static int task_pidfd(int procdir, pid_t tid, bool *ret_is_by_process)
{
	int fd = (int)syscall(SYS_pidfd_open, tid, PIDFD_THREAD);
	pid_t tgid;

	*ret_is_by_process = false;
	if (fd >= 0 || errno != EINVAL)
		return fd < 0 ? -errno : fd;
	if (procfs_tgid(procdir, &tgid) < 0)
		return -ESRCH;
	*ret_is_by_process = tgid != tid;
	fd = (int)syscall(SYS_pidfd_open, tgid, 0);
	return fd < 0 ? -errno : fd;
}

static struct task *task_add(struct owners *o, pid_t tid, int procdir, int pidfd)
{
	struct task *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->pub.tid = tid;
	t->pub.pidfd = pidfd;
	t->procdir = procdir;
	LIST_INSERT_HEAD(&o->tasks[(unsigned int)tid % BUCKETS], t, bucket);
	TAILQ_INSERT_TAIL(&o->lru, t, lru);
	o->n_tasks++;
	return t;
}

static int task_open(struct owners *o, pid_t tid, struct task **ret)
{
	auto_close int procdir = -1, pidfd = -1;
	bool is_by_process;
	struct task *t;
	char path[64];

	(void)str_format(path, sizeof(path), "/proc/%d", (int)tid);
	procdir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (procdir < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	pidfd = task_pidfd(procdir, tid, &is_by_process);
	if (pidfd < 0)
		return pidfd;
	make_room(o);
	t = task_add(o, tid, procdir, pidfd);
	if (!t)
		return -ENOMEM;
	t->is_by_process = is_by_process;
	(void)take_fd(procdir);
	(void)take_fd(pidfd);
	*ret = t;
	return 0;
}

/* gcc 12: task_open() gives a task or an error. */
ANALYZER_OFF("-Wanalyzer-null-dereference")
/* Executable path, fingerprint and file record of a new task. */
static int task_identify(struct owners *o, struct task *t)
{
	char path[4096];
	struct stat st;
	ssize_t n;
	int r;

	/* The file first: whoever executes another one from here on is found out by task_stands(). */
	n = fstatat(t->procdir, "exe", &st, 0) < 0 ? -1 : readlinkat(t->procdir, "exe", path, sizeof(path));
	if (n < 0)
		return errno == ENOENT || errno == ESRCH ? -ESRCH : -errno;
	if ((size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	path[n] = '\0';
	t->exe = fingerprint_of(&st);
	r = path_names(o, path, &t->exe);
	if (r < 0)
		return r;
	if (r == 0) {
		(void)str_format(t->denied, sizeof(t->denied),
			"executable %.300s is not a file of the sandbox (deleted, memfd or replaced)",
			path);
		return 0;
	}
	t->binary = binary_find(o, path);
	/* A hash that was forgotten would be trusted anew, whatever it is by then. */
	if (!t->binary && o->n_binaries >= OWNER_BINARIES_MAX)
		return -EUSERS;
	if (!t->binary)
		t->binary = binary_add(o, path);
	return t->binary ? 0 : -ENOMEM;
}

static int task_ancestors(struct task *t)
{
	const char **v;
	size_t n = 0;

	for (const struct task *p = t->parent; p; p = p->parent)
		n++;
	v = calloc(n + 1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	n = 0;
	for (const struct task *p = t->parent; p; p = p->parent)
		if (p->binary)
			v[n++] = p->binary->path;
	t->pub.ancestors = v;
	return 0;
}
ANALYZER_ON

static int task_get(struct owners *o, pid_t tid, unsigned int depth, struct task **ret);

/* gcc 12: task_open() gives a task or an error. */
ANALYZER_OFF("-Wanalyzer-null-dereference")
static int task_link(struct owners *o, struct task *t, unsigned int depth)
{
	struct task *parent = NULL;
	pid_t ppid, now;
	int r = procfs_ppid(t->procdir, &ppid);

	if (r < 0)
		return r;
	if (ppid == o->init_pid || ppid == 0)
		return 0;
	/*
	 * A parent that ends meanwhile leaves the task to pid 1: the next question sees that. Nor is who has its
	 * number by then an ancestor: the parent is whom the task still names once he is held.
	 */
	r = task_get(o, ppid, depth + 1, &parent);
	if (r == 0)
		r = procfs_ppid(t->procdir, &now);
	if (r == 0 && now != ppid)
		r = -ESRCH;
	if (r < 0)
		return r;
	t->parent = parent;
	parent->n_children++;
	return 0;
}

static int task_fill(struct owners *o, struct task *t, unsigned int depth)
{
	int r = task_identify(o, t);

	if (r == 0)
		r = procfs_ns_pid(t->procdir, &t->pub.pid);
	if (r == 0)
		r = task_link(o, t, depth);
	if (r == 0)
		r = task_ancestors(t);
	return r;
}

static int task_new(struct owners *o, pid_t tid, unsigned int depth, struct task **ret)
{
	struct task *t = NULL;
	int r;

	if (depth > OWNER_DEPTH_MAX)
		return -ELOOP;
	r = task_open(o, tid, &t);
	if (r < 0)
		return r;
	t->n_children++; /* keeps it while its ancestors are looked up */
	r = task_fill(o, t, depth);
	t->n_children--;
	/* What was read piece by piece is one task's only if it is still the same one now. */
	if (r == 0 && !task_stands(t))
		r = -ESRCH;
	if (r < 0) {
		task_forget(o, t);
		return r;
	}
	*ret = t;
	return 0;
}
ANALYZER_ON

static int task_get(struct owners *o, pid_t tid, unsigned int depth, struct task **ret)
{
	struct task *t = task_find(o, tid);

	if (t && !task_stands(t)) {
		task_forget(o, t);
		t = NULL;
	}
	if (!t)
		return task_new(o, tid, depth, ret);
	TAILQ_REMOVE(&o->lru, t, lru);
	TAILQ_INSERT_TAIL(&o->lru, t, lru);
	*ret = t;
	return 0;
}

/* Every file of the chain hashed, or the question is put again later. */
static int chain_settle(const struct task *t)
{
	int pending = 0;

	for (; t; t = t->parent) {
		int r = t->binary ? binary_settle(t->binary, t->procdir, &t->exe) : 0;

		if (r < 0 && r != -EINPROGRESS)
			return r;
		if (r < 0)
			pending = r;
	}
	return pending;
}

/* The first reason in the chain to refuse: a changed ancestor counts as much as the caller. */
static const char *chain_denied(const struct task *t)
{
	const char *own = t->denied[0] ? t->denied : NULL;

	for (; t && !own; t = t->parent) {
		if (t->binary && t->binary->state != BINARY_TRUSTED)
			own = t->binary->denied ? t->binary->denied : "identity unknown";
	}
	return own;
}

int owner_get(struct owners *o, pid_t tid, const struct owner **ret)
{
	struct task *t;
	int r = task_get(o, tid, 0, &t);

	if (r == 0)
		r = chain_settle(t);
	if (r < 0)
		return r;
	t->pub.denied = chain_denied(t);
	t->pub.binary = t->binary ? t->binary->path : NULL;
	t->pub.sha256 = t->binary ? t->binary->sha256 : NULL;
	*ret = &t->pub;
	return 0;
}

pid_t owner_known_pid(struct owners *o, pid_t tid)
{
	const struct task *t = task_find(o, tid);

	return t ? t->pub.pid : 0;
}

/*
 * Whether descriptor @fd of the thread @tid is our @own: 0, -EBADF when it has none, -ESRCH when it is gone,
 * -EOPNOTSUPP when it is another or this kernel cannot tell (CONFIG_KCMP).
 */
static int same_file(pid_t tid, int fd, int own)
{
	long r = syscall(SYS_kcmp, getpid(), tid, KCMP_FILE, own, fd);

	if (r < 0 && (errno == EBADF || errno == ESRCH))
		return -errno;
	return r == 0 ? 0 : -EOPNOTSUPP;
}

/*
 * No look at the executable here: a pidfd names one task for good, and says so when it is gone. That of a
 * process says so of the process alone, and a thread need not share its descriptors (CLONE_FILES): what comes
 * by it is given out only if it is what the thread itself has under the number.
 */
static int task_getfd(const struct task *t, int fd)
{
	int got = (int)syscall(SYS_pidfd_getfd, t->pub.pidfd, fd, 0), r;

	if (got < 0)
		got = -errno;
	if (!t->is_by_process || (got < 0 && got != -EBADF))
		return got;
	/* The process has none: anything that is no file of theirs tells whether the thread has one. */
	r = same_file(t->pub.tid, fd, got < 0 ? t->procdir : got);
	if (r < 0 && got >= 0)
		(void)close(got);
	return r < 0 ? r : got;
}

int owner_getfd(struct owners *o, pid_t tid, int fd)
{
	struct task *t = task_find(o, tid);
	int r = t ? 0 : task_new(o, tid, 0, &t);

	if (r < 0)
		return r;
	r = task_getfd(t, fd);
	if (r != -ESRCH && r != -EOPNOTSUPP)
		return r;
	/* Or the number was recycled: the old task is forgotten, the new one asked. */
	task_forget(o, t);
	r = task_new(o, tid, 0, &t);
	return r < 0 ? r : task_getfd(t, fd);
}

int owner_procdir(struct owners *o, pid_t tid)
{
	struct task *t;
	int r = task_get(o, tid, 0, &t);

	return r < 0 ? r : t->procdir;
}

int owner_trust(struct owners *o, const char *path)
{
	struct binary *b = binary_find(o, path);

	if (!b)
		return -ENOENT;
	b->sha256[0] = '\0';
	if (b->state != BINARY_HASHING)
		b->state = BINARY_NEW;
	return 0;
}
