#include "lib/stubs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/gitadopt.h"
#include "lib/str.h"

enum { RECORD_MAX = 4 * 1024 * 1024, CONTENT_MAX = 16, DIR_MODE = 0555 };

static const char record_name[] = "stubs";

/* What directory stubs are called. */
static const char *const dirs[] = { "/.git", "/.gemini", "/.opencode" };

/* What file stubs may hold: a git directory without settings, and one that is its own. */
static const char *const contents[] = { "", ".\n" };

void stubs_done(struct stubs *s)
{
	for (size_t i = 0; i < s->n_locks; i++)
		(void)close(s->locks[i]);
	if (s->has_record)
		(void)close(s->record);
	free(s->locks);
	free(s->root);
	*s = (struct stubs){ 0 };
}

static bool is_stub_content(const char *path)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char text[CONTENT_MAX + 1];
	ssize_t n = fd < 0 ? -1 : read(fd, text, CONTENT_MAX);

	if (n < 0)
		return false;
	text[n] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(contents); i++)
		if ((size_t)n == strlen(contents[i]) && str_eq(text, contents[i]))
			return true;
	return false;
}

static bool is_stub_link(const char *path)
{
	char text[sizeof(STUBS_LINK) + 1];
	ssize_t n = readlink(path, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	return str_eq(text, STUBS_LINK);
}

static bool is_stub_dir(const char *path, const struct stat *st)
{
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		if (str_ends(path, dirs[i]))
			return !(st->st_mode & 0222);
	return false;
}

bool stubs_is_one(const char *path, const struct stat *st)
{
	if (st->st_uid != getuid())
		return false;
	if (S_ISLNK(st->st_mode))
		return is_stub_link(path);
	if (S_ISDIR(st->st_mode))
		return is_stub_dir(path, st);
	if (st->st_mode & 0222)
		return false;
	if (S_ISSOCK(st->st_mode))
		return !(st->st_mode & 07333);
	return S_ISREG(st->st_mode) && st->st_size <= CONTENT_MAX && is_stub_content(path);
}

/* --- the record: 'r' ROOT NUL, then 's' PATH NUL for each stub below it, 'g' ROOT NUL for a .git --- */

static int record(struct stubs *s, int state_dir, char kind, const char *path)
{
	size_t len = strlen(path) + 1;
	auto_free char *line = malloc(len + 1);

	if (!line)
		return -ENOMEM;
	line[0] = kind;
	memcpy(line + 1, path, len);
	if (!s->has_record) {
		s->record = openat(state_dir, record_name,
			O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (s->record < 0)
			return -errno;
		s->has_record = true;
	}
	return fd_write_all(s->record, line, len + 1);
}

/*
 * A network file system may refuse exclusive locks on directories (EBADF): then nobody else is
 * seen, and a second sandbox of the same directory there loses its stubs to the first one's end.
 */
static int lock_root(struct stubs *s, const char *root)
{
	auto_close int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int *locks;

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		return -EBUSY;
	locks = realloc(s->locks, (s->n_locks + 1) * sizeof(*locks));
	if (!locks)
		return -ENOMEM;
	s->locks = locks;
	s->locks[s->n_locks++] = take_fd(fd);
	return 0;
}

static int enter_root(struct stubs *s, int state_dir, const char *root)
{
	char *copy;
	int r;

	if (s->root && str_eq(s->root, root))
		return 0;
	r = lock_root(s, root);
	if (r == 0)
		r = record(s, state_dir, 'r', root);
	copy = r < 0 ? NULL : strdup(root);
	if (!copy)
		return r < 0 ? r : -ENOMEM;
	free(s->root);
	s->root = copy;
	return 0;
}

static int make_file(const char *path, const char *content)
{
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0444);

	return fd < 0 ? -errno : fd_write_all(fd, content, strlen(content));
}

static int make(const char *path, const char *content)
{
	struct stat st;
	int r;

	if (!content)
		r = mknod(path, S_IFSOCK | 0444, 0) < 0 ? -errno : 0;
	else if (str_eq(content, STUBS_LINK))
		r = symlink(content, path) < 0 ? -errno : 0;
	else if (str_eq(content, STUBS_DIR))
		r = mkdir(path, DIR_MODE) < 0 ? -errno : 0;
	else
		r = make_file(path, content);
	if (r == -EEXIST && lstat(path, &st) == 0 && stubs_is_one(path, &st))
		return 0;
	return r;
}

/* Writes down what is to be made at @path. */
static int announce(struct stubs *s, int state_dir, const char *root, char kind, const char *path,
	struct err *err)
{
	int r = enter_root(s, state_dir, root);

	if (r == -EBUSY) {
		(void)err_set(err, r, "'%s' is locked by another program", root);
		return err_hint(err, r, "another sandbox there is just ending: try again");
	}
	if (r == 0)
		r = record(s, state_dir, kind, path);
	return r < 0 ? err_set(err, r, "protecting '%s': %s", path, err_name(r)) : 0;
}

/* One that is there already is another sandbox's, or was left by one that was killed. */
static int make_dir(const char *path, mode_t mode)
{
	struct stat st;

	if (mkdir(path, mode) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == getuid() ? 0 : -EEXIST;
}

int stubs_make_git(struct stubs *s, int state_dir, const char *root, struct err *err)
{
	char stub[PATH_MAX], dir[PATH_MAX];
	int r;

	if (!str_format(stub, sizeof(stub), "%s/.git", root) ||
		!str_format(dir, sizeof(dir), "%s/" GITADOPT_DIR, root))
		return err_set(err, -ENAMETOOLONG, "'%s' is too long", root);
	r = announce(s, state_dir, root, 's', stub, err);
	if (r == 0)
		r = announce(s, state_dir, root, 'g', root, err);
	if (r < 0)
		return r;
	r = make_dir(dir, 0777);
	if (r == 0)
		r = make_dir(stub, DIR_MODE);
	return r < 0 ? err_set(err, r, "protecting '%s', which does not exist: %s", stub, err_name(r))
		     : 0;
}

int stubs_make(struct stubs *s, int state_dir, const char *root, const char *path,
	const char *content, struct err *err)
{
	int r = announce(s, state_dir, root, 's', path, err);

	if (r < 0)
		return r;
	r = make(path, content);
	return r < 0 ? err_set(err, r, "protecting '%s', which does not exist: %s", path,
			       err_name(r))
		     : 0;
}

/* --- clearing away --- */

bool stubs_are_recorded(int state_dir)
{
	return faccessat(state_dir, record_name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void remove_one(const char *path)
{
	struct stat st;

	if (lstat(path, &st) == 0 && stubs_is_one(path, &st))
		(void)(S_ISDIR(st.st_mode) ? rmdir(path) : unlink(path));
}

static void adopt(const char *root, stubs_told *told, void *arg)
{
	char left[NAME_MAX + 1] = "", text[2 * PATH_MAX + 256];
	int r = gitadopt(root, left, sizeof(left));

	if (r == GITADOPT_NOTHING || !told)
		return;
	if (r < 0)
		(void)str_format(text, sizeof(text),
			"what the sandbox made as '%s/.git' is in '%s/" GITADOPT_DIR "': %s", root,
			root, err_name(r));
	else if (r == GITADOPT_DONE)
		(void)str_format(text, sizeof(text), "the repository that was made in '%s' is there now",
			root);
	else if (r == GITADOPT_PARTLY)
		(void)str_format(text, sizeof(text),
			"the repository that was made in '%s' is there now, without hooks and settings "
			"that could run programs: they are in .git/%s",
			root, left);
	else
		(void)str_format(text, sizeof(text),
			"what the sandbox made as '%s/.git' is no repository that could stand there: "
			"it is in '%s' (chmod u+rwx to look)",
			root, left);
	told(arg, r != GITADOPT_DONE, text);
}

/* Of one root's part of the record; stubs never lie in each other. */
static const char *sweep_root(const char *p, const char *end, stubs_told *told, void *arg)
{
	const char *root = p + 1;
	bool has_git = false;

	auto_close int fd = open(p + 1, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool is_needed = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;

	for (p += strlen(p) + 1; p < end && (*p == 's' || *p == 'g'); p += strlen(p) + 1) {
		has_git |= *p == 'g';
		if (!is_needed && *p == 's')
			remove_one(p + 1);
	}
	if (!is_needed && has_git)
		adopt(root, told, arg);
	return p;
}

void stubs_sweep(int state_dir, stubs_told *told, void *arg)
{
	auto_free char *text = NULL;
	size_t len = 0;

	if (fd_slurp_at(state_dir, record_name, RECORD_MAX, &text, &len) < 0)
		return;
	/* A line that was cut short by a full disk has no NUL but the buffer's. */
	for (const char *p = text; p < text + len && *p == 'r';)
		p = sweep_root(p, text + len, told, arg);
	(void)unlinkat(state_dir, record_name, 0);
}
