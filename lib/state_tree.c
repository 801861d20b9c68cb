/* Removal: whole trees, one sandbox with its log archived, and what the dead left behind. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/state_internal.h"
#include "lib/str.h"
#include "lib/stubs.h"
#include "lib/strv.h"

/*
 * The workload decides how deep its home is, so neither the stack nor the descriptors may follow
 * it down: below DEPTH_MAX a directory is renamed up into the top one, which is then gone over
 * again.
 */
enum { DEPTH_MAX = 48 };

struct remover {
	int top;	 /* the directory that is being emptied; borrowed */
	dev_t dev;	 /* never leave this file system */
	unsigned long n; /* counts lifted directories, for their names */
	bool is_again;	 /* something was lifted: another pass is due */
	int error;	 /* the first one met */
};

static void note(struct remover *rm, int r)
{
	/* Gone is what we want, whoever did it. */
	if (r < 0 && r != -ENOENT && rm->error == 0)
		rm->error = r;
}

/* Opens a directory so that it can be emptied; what the workload made unreadable is ours all the
 * same. */
static int subdir_open(const struct remover *rm, int dir, const char *name)
{
	int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	auto_close int fd = -1;
	struct stat st;

	fd = openat(dir, name, flags);
	if (fd < 0 && errno == EACCES && fchmodat(dir, name, 0700, 0) == 0)
		fd = openat(dir, name, flags);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_dev != rm->dev)
		return -EXDEV;
	if ((st.st_mode & 0700) != 0700 && fchmod(fd, 0700) < 0)
		return -errno;
	return take_fd(fd);
}

static int lift(struct remover *rm, int dir, const char *name)
{
	char up[32];

	/* A name the workload took as well fails with ENOTEMPTY or ENOTDIR; then the next. */
	do {
		(void)str_format(up, sizeof(up), ".lifted-%lu", rm->n++);
		if (renameat(dir, name, rm->top, up) == 0) {
			rm->is_again = true;
			return 0;
		}
	} while (errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR);
	return -errno;
}

static void empty(struct remover *rm, int dir, unsigned int depth);

static int remove_dir(struct remover *rm, int dir, const char *name, unsigned int depth)
{
	int fd = subdir_open(rm, dir, name);

	if (fd < 0)
		return fd;
	if (depth >= DEPTH_MAX) {
		(void)close(fd);
		return lift(rm, dir, name);
	}
	empty(rm, fd, depth + 1);
	return unlinkat(dir, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

static int remove_entry(struct remover *rm, int dir, const struct dirent *e, unsigned int depth)
{
	if (e->d_type != DT_DIR) {
		if (unlinkat(dir, e->d_name, 0) == 0 || errno == ENOENT)
			return 0;
		if (errno != EISDIR)
			return -errno;
	}
	return remove_dir(rm, dir, e->d_name, depth);
}

/* Empties @dir, which it closes. */
static void empty(struct remover *rm, int dir, unsigned int depth)
{
	auto_closedir DIR *d = fdopendir(dir);
	struct dirent *e;

	if (!d) {
		note(rm, -ENOMEM);
		(void)close(dir);
		return;
	}
	while ((e = readdir(d))) {
		if (!str_eq(e->d_name, ".") && !str_eq(e->d_name, ".."))
			note(rm, remove_entry(rm, dirfd(d), e, depth));
	}
}

int state_tree_remove(int dir, const char *name)
{
	struct remover rm = { 0 };
	auto_close int top = -1;
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return unlinkat(dir, name, 0) < 0 ? -errno : 0;
	rm.dev = st.st_dev;
	top = subdir_open(&rm, dir, name);
	if (top < 0)
		return top;
	rm.top = top;
	do {
		int again = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (again < 0)
			return -errno;
		rm.is_again = false;
		empty(&rm, again, 0);
	} while (rm.is_again && rm.error == 0);
	if (unlinkat(dir, name, AT_REMOVEDIR) < 0)
		note(&rm, -errno);
	return rm.error;
}

/* --- the archive of logs --- */

static uint64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* "NAME.MS": true with the time for an entry of the archive. */
static bool archived(const char *entry, const char *name, uint64_t *ret_ms)
{
	const char *dot = strchr(entry, '.');

	if (!dot || (name && (strlen(name) != (size_t)(dot - entry) ||
				     strncmp(entry, name, strlen(name)) != 0)))
		return false;
	return str_to_u64(dot + 1, UINT64_MAX, ret_ms) == 0;
}

static uint64_t archived_ms(const char *entry)
{
	uint64_t ms = 0;

	(void)archived(entry, NULL, &ms);
	return ms;
}

static int newest_first(const void *a, const void *b)
{
	uint64_t x = archived_ms(*(char *const *)a), y = archived_ms(*(char *const *)b);

	return (x < y) - (x > y);
}

/* Every entry of the archive, of sandbox @name if given; newest first. */
static char **archive_list(int archive, const char *name)
{
	int fd = openat(archive, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_closedir DIR *d = NULL;
	char **list = NULL;
	struct dirent *e;
	uint64_t ms;

	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		if (fd >= 0)
			(void)close(fd);
		return NULL;
	}
	while ((e = readdir(d))) {
		if (archived(e->d_name, name, &ms) && strv_push(&list, e->d_name) < 0)
			break;
	}
	if (list)
		qsort(list, strv_len(list), sizeof(char *), newest_first);
	return list;
}

void state_archive_prune(void)
{
	uint64_t now = now_ms(), age_max = STATE_ARCHIVE_DAYS * 86400ULL * 1000;
	auto_close int archive = state_archive_open(NULL);
	auto_strv char **list = archive < 0 ? NULL : archive_list(archive, NULL);

	for (size_t i = 0; list && list[i]; i++) {
		uint64_t ms = archived_ms(list[i]);

		if (i >= STATE_ARCHIVE_MAX || (now > ms && now - ms > age_max))
			(void)state_tree_remove(archive, list[i]);
	}
}

/* Moves the log out of @dir. Two of one name in the same millisecond: the later one waits for a
 * free number. */
static int archive_log(int dir, const char *name)
{
	auto_close int archive = state_archive_open(NULL);
	uint64_t ms = now_ms();
	char entry[64];

	if (archive < 0)
		return archive;
	for (unsigned int i = 0; i < 1000; i++) {
		(void)str_format(entry, sizeof(entry), "%s.%llu", name, (unsigned long long)ms + i);
		if (renameat(dir, "log", archive, entry) == 0)
			return 0;
		if (errno != ENOTEMPTY && errno != EEXIST)
			return errno == ENOENT ? 0 : -errno;
	}
	return -EEXIST;
}

int state_log_open(const char *name, struct err *err)
{
	auto_close int archive = -1, root = -1;
	auto_strv char **list = NULL;
	char path[STATE_NAME_MAX + 8];
	int fd, r;

	r = state_name_check(name, err);
	if (r < 0)
		return r;
	root = state_sandboxes_open(err);
	if (root < 0)
		return root;
	(void)str_format(path, sizeof(path), "%s/log", name);
	fd = openat(root, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	archive = state_archive_open(err);
	if (archive < 0)
		return archive;
	list = archive_list(archive, name);
	if (!list)
		return err_set(err, -ENOENT, "no log of a sandbox named '%s'", name);
	fd = openat(archive, list[0], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, -errno, "cannot open the log of sandbox '%s': %s", name,
			err_name(errno));
	return fd;
}

/* --- removal of a sandbox --- */

int state_retire(struct state *s, struct err *err)
{
	auto_close int root = state_sandboxes_open(err);
	int saved;

	if (root < 0)
		return root;
	(void)state_runtime_remove(s->name);
	stubs_sweep(s->dir, NULL, NULL);
	(void)str_format(s->gone, sizeof(s->gone), STATE_DEL_PREFIX "%s-%d-%llu", s->name,
		(int)getpid(), (unsigned long long)now_ms());
	/* The sandbox itself last: killed on the way, it is still there and can be deleted again.
	 */
	saved = archive_log(s->dir, s->name);
	if (renameat(root, s->name, root, s->gone) < 0) {
		s->gone[0] = '\0';
		return err_set(
			err, -errno, "cannot remove sandbox '%s': %s", s->name, err_name(errno));
	}
	state_last_used_clear(s->name);
	if (saved < 0)
		return err_set(err, saved, "cannot archive the log of sandbox '%s': %s", s->name,
			err_name(saved));
	return 0;
}

int state_discard(struct state *s, struct err *err)
{
	auto_close int root = s->gone[0] ? state_sandboxes_open(err) : -ENOENT;
	int r = root < 0 ? root : state_tree_remove(root, s->gone);

	return r < 0 ? err_set(err, r, "cannot remove all files of sandbox '%s': %s", s->name,
			       err_name(r)) :
		       0;
}

int state_remove(struct state *s, struct err *err)
{
	int retired = state_retire(s, err);
	int r = s->gone[0] ? state_discard(s, retired < 0 ? NULL : err) : 0;

	return retired < 0 ? retired : r;
}

bool state_clear_unkept(int root, const char *name)
{
	auto_state struct state *s = NULL;
	auto_spec struct sandbox_spec spec = { 0 };

	if (state_open_at(&s, root, name) < 0 || state_load_spec(s, &spec, NULL) < 0)
		return false;
	if (spec.keep || state_lock(s, NULL) < 0)
		return false;
	(void)state_remove(s, NULL);
	return true;
}

/* --- sweeping --- */

/* Between mkdir and lock a directory under construction looks abandoned, for microseconds. */
enum { NEW_GRACE_S = 5 };

static void sweep_rubbish(int root, const char *name)
{
	auto_close int dir = openat(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (dir < 0 || state_lock_is_held(dir, "lock") || fstat(dir, &st) < 0)
		return;
	if (str_starts(name, STATE_NEW_PREFIX) && time(NULL) - st.st_ctime < NEW_GRACE_S)
		return;
	(void)state_tree_remove(root, name);
}

static bool has_runtime(int runtime, const char *name)
{
	return runtime >= 0 && faccessat(runtime, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* True when something of @name was cleared away; @ret_kept tells whether it was to be kept. */
static bool sweep_sandbox(int root, int runtime, const char *name, bool *ret_kept)
{
	auto_state struct state *s = NULL;
	auto_spec struct sandbox_spec spec = { 0 };

	if (state_open_at(&s, root, name) < 0 || state_is_running(s))
		return false;
	if (state_load_spec(s, &spec, NULL) < 0)
		return false;
	*ret_kept = spec.keep;
	if (!spec.keep)
		return state_clear_unkept(root, name);
	if (!has_runtime(runtime, name) && !stubs_are_recorded(s->dir))
		return false;
	if (state_lock(s, NULL) < 0)
		return false;
	stubs_sweep(s->dir, NULL, NULL);
	return !has_runtime(runtime, name) || state_runtime_remove(name);
}

void state_sweep(void (*on_cleaned)(const char *name, bool kept, void *arg), void *arg)
{
	auto_close int root = state_sandboxes_open(NULL), runtime = state_runtime_open(NULL);
	auto_closedir DIR *d = NULL;
	struct dirent *e;
	int fd;

	fd = root < 0 ? -1 : openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		if (fd >= 0)
			(void)close(fd);
		return;
	}
	while ((e = readdir(d))) {
		bool kept;

		if (str_starts(e->d_name, STATE_NEW_PREFIX) ||
			str_starts(e->d_name, STATE_DEL_PREFIX))
			sweep_rubbish(root, e->d_name);
		else if (state_name_check(e->d_name, NULL) == 0 &&
			 sweep_sandbox(root, runtime, e->d_name, &kept) && on_cleaned)
			on_cleaned(e->d_name, kept, arg);
	}
}
