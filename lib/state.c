#include "lib/state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/state_internal.h"
#include "lib/str.h"
#include "lib/strv.h"

int state_name_check(const char *name, struct err *err)
{
	size_t len = strlen(name);

	if (len == 0)
		return err_set(err, -EINVAL, "a sandbox name cannot be empty");
	if (strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != len)
		return err_set(err, -EINVAL,
			"a sandbox name must consist of lowercase alphanumeric characters or "
			"hyphens");
	if (len > STATE_NAME_MAX)
		return err_set(
			err, -EINVAL, "a sandbox name exceeds %d characters", STATE_NAME_MAX);
	if (name[0] == '-' || name[len - 1] == '-')
		return err_set(err, -EINVAL, "a sandbox name must start and end with alphanumeric");
	if (strstr(name, "--"))
		return err_set(err, -EINVAL, "a sandbox name must not contain consecutive hyphens");
	return 0;
}

void state_name_generate(char ret[STATE_NAME_MAX + 1])
{
	static const char first[][7] = { "amber", "brave", "brisk", "calm", "clever", "crisp",
		"eager", "early", "fleet", "gentle", "happy", "keen", "lucky", "mellow", "quick",
		"quiet" };
	static const char second[][7] = { "badger", "beaver", "cedar", "falcon", "finch", "heron",
		"lynx", "maple", "marten", "otter", "panda", "pine", "robin", "tern", "willow",
		"wren" };
	unsigned char b[4];

	if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
		abort();
	(void)str_format(ret, STATE_NAME_MAX + 1, "%s-%s-%02x%02x", first[b[0] % 16],
		second[b[1] % 16], b[2], b[3]);
}

/* --- roots --- */

/* Makes every directory on the way to the absolute @path, and @path. */
static int make_path(const char *path, struct err *err)
{
	char part[STATE_PATH_MAX];

	if (!str_copy(part, sizeof(part), path))
		return err_set(err, -ENAMETOOLONG, "'%s' is too long", path);
	for (char *slash = part; slash;) {
		slash = strchr(slash + 1, '/');
		if (slash)
			*slash = '\0';
		if (mkdir(part, 0700) < 0 && errno != EEXIST)
			return err_set(
				err, -errno, "cannot create '%s': %s", part, err_name(errno));
		if (slash)
			*slash = '/';
	}
	return 0;
}

static int open_path(const char *path, struct err *err)
{
	int fd, r;

	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		r = make_path(path, err);
		if (r < 0)
			return r;
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (fd < 0)
		return err_set(err, -errno, "cannot open '%s': %s", path, err_name(errno));
	return fd;
}

const char *state_home_dir(void)
{
	const char *home = getenv("HOME");
	struct passwd *pw;

	if (home && home[0] == '/')
		return home;
	pw = getpwuid(getuid());
	return pw && pw->pw_dir && pw->pw_dir[0] == '/' ? pw->pw_dir : NULL;
}

/* The XDG base directory specification: a value that is not absolute counts as unset. */
static int xdg_open(const char *variable, const char *below_home, struct err *err)
{
	const char *base = getenv(variable), *home;
	char path[STATE_PATH_MAX];

	if (base && base[0] == '/') {
		if (!str_format(path, sizeof(path), "%s/openshell", base))
			return err_set(err, -ENAMETOOLONG, "$%s is too long", variable);
		return open_path(path, err);
	}
	home = state_home_dir();
	if (!home)
		return err_set(
			err, -ENOENT, "no home directory: neither $%s nor $HOME is set", variable);
	if (!str_format(path, sizeof(path), "%s/%s/openshell", home, below_home))
		return err_set(err, -ENAMETOOLONG, "the home directory's path is too long");
	return open_path(path, err);
}

int state_root_open(struct err *err)
{
	return xdg_open("XDG_STATE_HOME", ".local/state", err);
}

int state_config_open(struct err *err)
{
	return xdg_open("XDG_CONFIG_HOME", ".config", err);
}

static bool is_private(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 077) == 0;
}

/* A directory of ours at @path, made if need be; never one that others can enter or put there. */
static int private_open(const char *path)
{
	auto_close int fd = -1;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return is_private(fd) ? take_fd(fd) : -EPERM;
}

int state_runtime_open(struct err *err)
{
	const char *base = getenv("XDG_RUNTIME_DIR");
	char path[STATE_PATH_MAX];
	int fd;

	if (base && base[0] == '/' && str_format(path, sizeof(path), "%s/openshell", base)) {
		fd = private_open(path);
		if (fd >= 0)
			return fd;
	}
	(void)str_format(path, sizeof(path), "/tmp/openshell-%u", (unsigned int)geteuid());
	fd = private_open(path);
	if (fd == -EPERM || fd == -ELOOP || fd == -ENOTDIR) {
		(void)err_set(err, -EPERM, "'%s' is not a private directory of yours", path);
		return err_hint(err, -EPERM, "set XDG_RUNTIME_DIR to a directory of mode 0700");
	}
	if (fd < 0)
		return err_set(err, fd, "cannot create '%s': %s", path, err_name(fd));
	return fd;
}

/* Opens, and makes where missing, a directory below @parent; @parent is closed. */
static int sub_open(int parent, const char *name, struct err *err)
{
	auto_close int dir = parent;
	int fd;

	if (dir < 0)
		return dir;
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && (mkdirat(dir, name, 0700) == 0 || errno == EEXIST))
		fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, -errno, "cannot open the state directory '%s': %s", name,
			err_name(errno));
	return fd;
}

int state_sandboxes_open(struct err *err)
{
	return sub_open(state_root_open(err), "sandboxes", err);
}

int state_archive_open(struct err *err)
{
	return sub_open(state_root_open(err), "archive", err);
}

/* --- locks --- */

/* For those who look. On a full disk the lock does without: it must be possible to delete. */
static void write_pid(int fd)
{
	char text[24];

	(void)str_format(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) == 0)
		(void)!pwrite(fd, text, strlen(text), 0);
}

int state_lock_file(int dir, const char *name, bool create)
{
	struct flock lk = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	auto_close int fd = -1;

	fd = openat(dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0), 0600);
	if (fd < 0)
		return -errno;
	if (fcntl(fd, F_OFD_SETLK, &lk) < 0)
		return errno == EACCES || errno == EAGAIN ? -EBUSY : -errno;
	write_pid(fd);
	return take_fd(fd);
}

bool state_lock_is_held(int dir, const char *name)
{
	struct flock lk = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	auto_close int fd = -1;

	/* Errors count as held: a live sandbox is never taken for a dead one. */
	fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno != ENOENT;
	return fcntl(fd, F_OFD_GETLK, &lk) < 0 || lk.l_type != F_UNLCK;
}

static bool is_same_dir(int fd, int parent, const char *name)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && fstatat(parent, name, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

int state_lock(struct state *s, struct err *err)
{
	auto_close int lock = -1, root = -1;

	lock = state_lock_file(s->dir, "lock", false);
	if (lock == -EBUSY)
		return err_set(err, -EBUSY, "sandbox '%s' is running", s->name);
	if (lock < 0)
		return err_set(err, lock, "cannot lock sandbox '%s': %s", s->name, err_name(lock));
	root = state_sandboxes_open(err);
	if (root < 0)
		return root;
	if (!is_same_dir(s->dir, root, s->name))
		return err_set(err, -ENOENT, "sandbox '%s' not found", s->name);
	s->lock = take_fd(lock);
	return 0;
}

bool state_is_running(const struct state *s)
{
	return s->lock >= 0 || state_lock_is_held(s->dir, "lock");
}

/* --- create and open --- */

void state_close(struct state *s)
{
	if (!s)
		return;
	if (s->lock >= 0)
		(void)close(s->lock);
	if (s->dir >= 0)
		(void)close(s->dir);
	free(s);
}

static struct state *state_new(const char *name)
{
	struct state *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->dir = -1;
	s->lock = -1;
	(void)str_copy(s->name, sizeof(s->name), name);
	return s;
}

int state_write_file(const struct state *s, int dir, const char *name, const void *data, size_t len)
{
	auto_close int fd = -1;
	char tmp[64];
	int r;

	if (s->is_durable)
		return fd_replace_file(dir, name, data, len);
	/* The state of an unkept sandbox does not outlive the machine: whole, but not synced. */
	if (!str_format(tmp, sizeof(tmp), ".%s.tmp", name))
		return -ENAMETOOLONG;
	fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	r = fd_write_all(fd, data, len);
	if (r == 0 && renameat(dir, tmp, dir, name) < 0)
		r = -errno;
	return r;
}

static int fill(struct state *s, const struct sandbox_spec *spec)
{
	auto_free char *json = spec_to_json(spec);

	if (!json)
		return -EINVAL;
	if (mkdirat(s->dir, "home", 0700) < 0)
		return -errno;
	return state_write_file(s, s->dir, "metadata.json", json, strlen(json));
}

/* Builds the directory under the passing name @tmp and gives it its own. */
static int build(struct state *s, const struct sandbox_spec *spec, int root, const char *tmp)
{
	int r;

	if (mkdirat(root, tmp, 0700) < 0)
		return -errno;
	s->dir = openat(root, tmp, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->dir < 0)
		return -errno;
	s->lock = state_lock_file(s->dir, "lock", true);
	if (s->lock < 0)
		return s->lock;
	r = fill(s, spec);
	if (r < 0)
		return r;
	/* rename(2) onto a directory that holds anything fails, and every sandbox holds a lock:
	 * no RENAME_NOREPLACE needed, which network file systems lack. */
	return renameat(root, tmp, root, s->name) < 0 ? -errno : 0;
}

static int create_once(struct state **ret, const struct sandbox_spec *spec, int root)
{
	auto_state struct state *s = state_new(spec->name);
	char tmp[64];
	int r;

	if (!s)
		return -ENOMEM;
	s->is_durable = spec->keep;
	(void)str_format(tmp, sizeof(tmp), STATE_NEW_PREFIX "%s-%d", spec->name, (int)getpid());
	r = build(s, spec, root, tmp);
	if (r < 0) {
		(void)state_tree_remove(root, tmp);
		return r == -ENOTEMPTY ? -EEXIST : r;
	}
	*ret = take_ptr(s);
	return 0;
}

int state_create(struct state **ret, const struct sandbox_spec *spec, struct err *err)
{
	auto_close int root = -1;
	int r;

	r = state_name_check(spec->name, err);
	if (r < 0)
		return r;
	root = state_sandboxes_open(err);
	if (root < 0)
		return root;
	r = create_once(ret, spec, root);
	if (r == -EEXIST && state_clear_unkept(root, spec->name))
		r = create_once(ret, spec, root);
	if (r == -EEXIST) {
		(void)err_set(err, r, "a sandbox named '%s' already exists", spec->name);
		return err_hint(err, r, "choose another name, or 'openshell sandbox delete %s'",
			spec->name);
	}
	if (r < 0)
		(void)err_set(err, r, "cannot create the state of sandbox '%s': %s", spec->name, err_name(r));
	if (r == -EFBIG)
		(void)err_hint(err, r, "a shell in which 'ulimit -f' says unlimited");
	return r < 0 ? r : 0;
}

int state_open_at(struct state **ret, int root, const char *name)
{
	auto_state struct state *s = NULL;

	s = state_new(name);
	if (!s)
		return -ENOMEM;
	s->dir = openat(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->dir < 0)
		return -errno;
	s->is_durable = true;
	*ret = take_ptr(s);
	return 0;
}

int state_open(struct state **ret, const char *name, struct err *err)
{
	auto_close int root = -1;
	int r;

	r = state_name_check(name, err);
	if (r < 0)
		return r;
	root = state_sandboxes_open(err);
	if (root < 0)
		return root;
	r = state_open_at(ret, root, name);
	if (r == -ENOENT) {
		(void)err_set(err, r, "sandbox '%s' not found", name);
		return err_hint(err, r, "'openshell sandbox list' shows what there is");
	}
	if (r < 0)
		return err_set(err, r, "cannot open sandbox '%s': %s", name, err_name(r));
	return 0;
}

int state_load_spec(const struct state *s, struct sandbox_spec *ret, struct err *err)
{
	auto_free char *json = NULL;
	size_t len;
	int r;

	r = fd_slurp_at(s->dir, "metadata.json", SPEC_JSON_MAX, &json, &len);
	if (r < 0)
		return err_set(err, r, "cannot read the metadata of sandbox '%s': %s", s->name,
			err_name(r));
	r = spec_from_json(ret, json, len, err);
	return r < 0 ? err_wrap(err, r, "sandbox '%s'", s->name) : 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int state_list(char ***ret, struct err *err)
{
	auto_strv char **names = NULL;
	auto_closedir DIR *d = NULL;
	struct dirent *e;
	int fd, r = 0;

	fd = state_sandboxes_open(err);
	if (fd < 0)
		return fd;
	d = fdopendir(fd);
	if (!d) {
		(void)close(fd);
		return err_set(err, -ENOMEM, "cannot list sandboxes: out of memory");
	}
	while (r == 0 && (e = readdir(d))) {
		if (e->d_name[0] != '.' && state_name_check(e->d_name, NULL) == 0)
			r = strv_push(&names, e->d_name);
	}
	if (r < 0)
		return err_set(err, r, "cannot list sandboxes: %s", err_name(r));
	if (names)
		qsort(names, strv_len(names), sizeof(char *), by_name);
	*ret = take_ptr(names);
	return 0;
}

/* --- the last used sandbox --- */

static const char last_used[] = "last_sandbox";

bool state_last_used(char ret[STATE_NAME_MAX + 1])
{
	auto_close int dir = state_config_open(NULL);
	auto_free char *text = NULL;

	if (dir < 0 || fd_slurp_at(dir, last_used, 64, &text, NULL) < 0)
		return false;
	text[strcspn(text, "\n")] = '\0';
	return state_name_check(text, NULL) == 0 && str_copy(ret, STATE_NAME_MAX + 1, text);
}

void state_last_used_set(const char *name)
{
	auto_close int dir = state_config_open(NULL);
	char text[STATE_NAME_MAX + 2], old[STATE_NAME_MAX + 1];

	/* A convenience: where it cannot be kept, names are given in full. */
	if (dir < 0 || (state_last_used(old) && str_eq(old, name)))
		return;
	(void)str_format(text, sizeof(text), "%s\n", name);
	(void)fd_replace_file(dir, last_used, text, strlen(text));
}

void state_last_used_clear(const char *name)
{
	auto_close int dir = state_config_open(NULL);
	char old[STATE_NAME_MAX + 1];

	if (dir >= 0 && state_last_used(old) && str_eq(old, name))
		(void)unlinkat(dir, last_used, 0);
}

int state_subdir(const struct state *s, const char *name)
{
	int fd;

	if (mkdirat(s->dir, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(s->dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}
