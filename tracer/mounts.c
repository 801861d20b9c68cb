#include "tracer/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/analyzer.h"
#include "lib/cleanup.h"
#include "lib/private_dirs.h"
#include "lib/str.h"
#include "lib/strv.h"
#include "tracer/env.h"
#include "tracer/gitdir.h"

static const struct {
	const char *path;
	enum mount_kind kind;
} private_mounts[] = {
#define PRIVATE_MOUNT(path, kind) { path, MOUNT_##kind },
	PRIVATE_DIRS(PRIVATE_MOUNT)
};

/* On merged-/usr systems links, elsewhere directories that belong to /usr. */
static const char *const root_dirs[] = { "/bin", "/lib", "/lib32", "/lib64", "/libx32", "/sbin",
	NULL };

/* Paths of upstream's default policies that many hosts lack: missing ones are no news. */
static const char *const baseline[] = { "/usr", "/lib", "/lib64", "/bin", "/sbin", "/proc",
	"/dev/urandom", "/app", "/etc", "/var/log", "/sandbox", "/tmp", "/dev/null", NULL };

static bool is_listed(const char *path, const char *const *list)
{
	for (; *list; list++)
		if (str_eq(path, *list))
			return true;
	return false;
}

bool mounts_is_under(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

void mounts_done(struct mounts *m)
{
	for (size_t i = 0; i < m->n; i++) {
		free(m->list[i].dest);
		free(m->list[i].src);
		cleanup_close(&m->list[i].fd);
	}
	free(m->list);
	strv_free(m->skipped);
	strv_free(m->ungranted);
	free(m->git_dir);
	free(m->git_worktree);
	*m = (struct mounts){ 0 };
}

static int grow(struct mounts *m)
{
	size_t alloc = m->alloc ? m->alloc * 2 : 32;
	struct mount *list;

	if (m->n < m->alloc)
		return 0;
	list = realloc(m->list, alloc * sizeof(*list));
	if (!list)
		return -ENOMEM;
	m->list = list;
	m->alloc = alloc;
	return 0;
}

/* gcc 12: the list owns the copies. */
ANALYZER_OFF("-Wanalyzer-malloc-leak")
int mounts_add(struct mounts *m, enum mount_kind kind, const char *src, const char *dest, int fd,
	bool is_private)
{
	auto_close int owned_fd = fd;
	auto_free char *owned_dest = strdup(dest);
	auto_free char *owned_src = src ? strdup(src) : NULL;

	if (!owned_dest || (src && !owned_src) || grow(m) < 0)
		return -ENOMEM;
	m->list[m->n++] = (struct mount){ .kind = kind,
		.dest = take_ptr(owned_dest),
		.src = take_ptr(owned_src),
		.fd = take_fd(owned_fd),
		.is_private = is_private };
	return 0;
}
ANALYZER_ON

/* What the sandbox has of its own at exactly this place. */
static bool is_private_path(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(private_mounts); i++)
		if (str_eq(path, private_mounts[i].path))
			return true;
	return str_eq(path, "/sandbox") || mounts_is_under(path, "/proc") || str_eq(path, "/dev/null") ||
	       str_eq(path, "/dev/zero") || str_eq(path, "/dev/full") ||
	       str_eq(path, "/dev/random") || str_eq(path, "/dev/urandom") ||
	       str_eq(path, "/dev/tty") || str_eq(path, "/dev/ptmx") ||
	       mounts_is_under(path, "/dev/shm") || mounts_is_under(path, "/dev/pts");
}

static int missing(struct mounts *m, const char *path, bool is_required, struct err *err)
{
	if (is_required)
		return err_set(err, -ENOENT,
			"path '%s' does not exist, and the policy says hard_requirement", path);
	if (is_listed(path, baseline))
		return 0;
	return strv_push(&m->skipped, path);
}

static int grant(struct mounts *m, const char *path, bool is_rw, bool is_required, struct err *err)
{
	enum mount_kind kind = is_rw ? MOUNT_RW : MOUNT_RO;
	char real[PATH_MAX];
	struct stat st;

	if (is_private_path(path) || is_listed(path, root_dirs))
		return 0;
	if (str_eq(path, "/"))
		return err_set(err, -EINVAL, "granting '/' would hide nothing");
	if (stat(path, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR ? missing(m, path, is_required, err) :
							     err_set(err, -errno, "path '%s': %s",
								     path, err_name(errno));
	if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
		kind = MOUNT_DEVICE;
	/* Resolved once, here: what is mounted is what was looked at. */
	if (!realpath(path, real))
		return err_set(err, -errno, "path '%s': %s", path, err_name(errno));
	return mounts_add(m, kind, real, path, -1, false);
}

static int grant_all(struct mounts *m, const char *const *paths, bool is_rw, bool is_required,
	struct err *err)
{
	int r = 0;

	for (; paths && *paths && r == 0; paths++)
		r = grant(m, *paths, is_rw, is_required, err);
	return r;
}

/* A policy that lists no path at all gets upstream's baseline, without which nothing would run. */
static const char *const *read_only_of(const struct policy_static *p)
{
	static const char *const paths[] = { "/usr", "/lib", "/etc", "/app", NULL };
	bool is_listed_at_all = (p->read_only && *p->read_only) ||
				(p->read_write && *p->read_write);

	return is_listed_at_all ? p->read_only : paths;
}

static bool grants(const struct policy_static *p, const char *path)
{
	const char *const *const lists[] = { read_only_of(p), p->read_write };

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		for (const char *const *s = lists[i]; s && *s; s++)
			if (str_eq(*s, path))
				return true;
	return false;
}

/* /bin, /lib64 and the like come with /usr, or alone when they are listed. */
static int add_root_dirs(struct mounts *m, const struct policy_static *policy)
{
	int r = 0;

	for (const char *const *d = root_dirs; *d && r == 0; d++) {
		char text[PATH_MAX];
		struct stat st;
		ssize_t n;

		if (!grants(policy, "/usr") && !grants(policy, *d))
			continue;
		if (lstat(*d, &st) < 0)
			continue;
		n = readlink(*d, text, sizeof(text) - 1);
		if (n > 0) {
			text[n] = '\0';
			r = mounts_add(m, MOUNT_SYMLINK, text, *d, -1, false);
		} else {
			r = mounts_add(m, MOUNT_RO, *d, *d, -1, false);
		}
	}
	return r;
}

static int add_private(struct mounts *m, const char *home)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(private_mounts) && r == 0; i++)
		r = mounts_add(m, private_mounts[i].kind, NULL, private_mounts[i].path, -1, true);
	if (r == 0)
		r = mounts_add(m, MOUNT_RW, home, "/sandbox", -1, true);
	return r;
}

static bool covers(const struct mounts *m, const char *path)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->list[i].kind == MOUNT_RW && mounts_is_under(path, m->list[i].dest))
			return true;
	return false;
}

/* A git worktree's own files lie in the repository it was made from. */
static int grant_workdir(struct mounts *m, const char *workdir, struct err *err)
{
	struct gitdir g = { 0 };
	int r = grant(m, workdir, true, true, err);

	if (r == 0)
		r = gitdir_find(workdir, &g);
	if (r == -ENOENT)
		return 0;
	if (r == 0 && g.is_worktree && !covers(m, g.common))
		r = mounts_add(m, MOUNT_RW, g.common, g.common, -1, false);
	if (r == 0 && !g.is_worktree && !covers(m, g.dir))
		r = strv_push(&m->ungranted, g.dir);
	if (r == 0 && g.is_worktree) {
		m->git_dir = take_ptr(g.common);
		m->git_worktree = take_ptr(g.name);
	}
	gitdir_done(&g);
	return r < 0 ? err_set(err, r, "the git directory of '%s': %s", workdir, err_name(r)) : 0;
}

/* NAME=PATH entries, placed below @dir. What is gone since the sandbox was made is left out. */
static int add_pairs(struct mounts *m, char *const *pairs, const char *dir, enum mount_kind kind)
{
	int r = 0;

	for (; pairs && *pairs && r == 0; pairs++) {
		const char *path = strchr(*pairs, '=');
		char dest[PATH_MAX];

		if (!path || !str_format(dest, sizeof(dest), "%s/%.*s", dir, (int)(path - *pairs), *pairs))
			return -EINVAL;
		if (faccessat(AT_FDCWD, path + 1, F_OK, 0) == 0)
			r = mounts_add(m, kind, path + 1, dest, -1, false);
	}
	return r;
}

static int add_profile(struct mounts *m, const struct sandbox_spec *spec)
{
	int r = add_pairs(m, spec->home, "/sandbox", MOUNT_RW);

	if (r == 0)
		r = add_pairs(m, spec->home_ro, "/sandbox", MOUNT_RO);
	return r < 0 ? r : add_pairs(m, spec->links, ENV_BIN_DIR, MOUNT_SYMLINK);
}

int mounts_plan(struct mounts *m, const struct policy_static *policy,
	const struct sandbox_spec *spec, const char *home, struct err *err)
{
	bool is_required = policy->landlock_required;
	int r = add_private(m, home);

	if (r == 0)
		r = add_root_dirs(m, policy);
	if (r == 0)
		r = grant_all(m, read_only_of(policy), false, is_required, err);
	if (r == 0)
		r = grant_all(m, policy->read_write, true, is_required, err);
	if (r == 0)
		r = grant_all(m, (const char *const *)spec->ro, false, true, err);
	if (r == 0)
		r = grant_all(m, (const char *const *)spec->rw, true, true, err);
	if (r == 0)
		r = add_profile(m, spec);
	if (r == 0 && spec->workdir && policy->include_workdir)
		r = grant_workdir(m, spec->workdir, err);
	return r;
}

int mounts_hide(struct mounts *m, const char *dir)
{
	size_t n = m->n;
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		const struct mount *e = &m->list[i];
		char place[2 * PATH_MAX];

		if (e->is_private || e->kind == MOUNT_SYMLINK || !mounts_is_under(dir, e->src))
			continue;
		/* Where the tree is mounted, which need not be where it lies. */
		if (!str_format(place, sizeof(place), "%s%s", e->dest, dir + strlen(e->src)))
			return -ENAMETOOLONG;
		r = mounts_add(m, MOUNT_TMPFS, NULL, place, -1, true);
	}
	return r;
}

/* '/' sorts before everything else, so that a directory precedes its content. */
static int path_compare(const char *a, const char *b)
{
	for (; *a && *a == *b; a++, b++)
		;
	if (*a == '/' || *b == '/')
		return !*a || !*b ? (*a ? 1 : -1) : (*a == '/' ? -1 : 1);
	return (unsigned char)*a - (unsigned char)*b;
}

/* At the same place: first what the user granted, then what is ours, which hides it. */
static int mount_compare(const void *a, const void *b)
{
	const struct mount *x = a, *y = b;
	int r = path_compare(x->dest, y->dest);

	if (r)
		return r;
	if (x->is_private != y->is_private)
		return x->is_private - y->is_private;
	return (int)x->kind - (int)y->kind;
}

/* Two mounts of one place: the later one stands (writable over read-only, ours over theirs). */
static void drop_hidden(struct mounts *m)
{
	size_t out = 0;

	for (size_t i = 0; i < m->n; i++) {
		if (i + 1 < m->n && str_eq(m->list[i].dest, m->list[i + 1].dest)) {
			free(m->list[i].dest);
			free(m->list[i].src);
			cleanup_close(&m->list[i].fd);
			continue;
		}
		m->list[out++] = m->list[i];
	}
	m->n = out;
}

/* The last of the first @n above @dest. */
static const struct mount *above(const struct mounts *m, size_t n, const char *dest)
{
	const struct mount *found = NULL;

	for (size_t i = 0; i < n; i++)
		if (mounts_is_under(dest, m->list[i].dest))
			found = &m->list[i];
	return found;
}

/* In a tree of the host's a file is laid over another: bubblewrap could only make one there, and may not. */
static bool has_place(const struct mounts *m, size_t n, const struct mount *e)
{
	const struct mount *tree = e->kind == MOUNT_DATA ? above(m, n, e->dest) : NULL;
	char path[PATH_MAX];
	struct stat st;

	if (!tree || tree->is_private || (tree->kind != MOUNT_RO && tree->kind != MOUNT_RW))
		return true;
	return str_format(path, sizeof(path), "%s%s", str_eq(tree->src, "/") ? "" : tree->src,
		       e->dest + (str_eq(tree->dest, "/") ? 0 : strlen(tree->dest))) &&
	       stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static void drop_homeless(struct mounts *m)
{
	size_t out = 0;

	for (size_t i = 0; i < m->n; i++) {
		/* Only those before it that stay: what goes is freed. */
		if (has_place(m, out, &m->list[i])) {
			m->list[out++] = m->list[i];
			continue;
		}
		free(m->list[i].dest);
		cleanup_close(&m->list[i].fd);
	}
	m->n = out;
}

void mounts_sort(struct mounts *m)
{
	if (m->n)
		qsort(m->list, m->n, sizeof(*m->list), mount_compare);
	drop_hidden(m);
	drop_homeless(m);
}

/* The mount that covers the path is the last one above it: the list is sorted. */
bool mounts_is_granted(const struct mounts *m, const char *path)
{
	bool is_granted = true;

	for (size_t i = 0; i < m->n; i++)
		if (mounts_is_under(path, m->list[i].dest))
			is_granted = !m->list[i].is_private;
	return is_granted;
}

static int push3(char ***args, const char *a, const char *b, const char *c)
{
	const char *v[] = { a, b, c };

	return strv_push_n(args, (char *const *)v, c ? 3 : 2);
}

static int one_to_bwrap(const struct mount *m, char ***args)
{
	const char *const sticky[] = { "--perms", "1777" };
	char number[16];
	int r;

	switch (m->kind) {
	case MOUNT_RO:
		return push3(args, "--ro-bind", m->src, m->dest);
	case MOUNT_RW:
		return push3(args, "--bind", m->src, m->dest);
	case MOUNT_DEVICE:
		return push3(args, "--dev-bind", m->src, m->dest);
	case MOUNT_TMPFS:
		r = mounts_is_under(m->dest, "/tmp") || mounts_is_under(m->dest, "/var/tmp") ?
			    strv_push_n(args, (char *const *)sticky, 2) :
			    0;
		return r < 0 ? r : push3(args, "--tmpfs", m->dest, NULL);
	case MOUNT_DEV:
		return push3(args, "--dev", m->dest, NULL);
	case MOUNT_PROC:
		return push3(args, "--proc", m->dest, NULL);
	case MOUNT_SYMLINK:
		return push3(args, "--symlink", m->src, m->dest);
	case MOUNT_DATA:
		(void)snprintf(number, sizeof(number), "%d", m->fd);
		return push3(args, "--ro-bind-data", number, m->dest);
	}
	return -EINVAL;
}

int mounts_to_bwrap(const struct mounts *m, char ***args)
{
	int r = 0;

	for (size_t i = 0; i < m->n && r == 0; i++)
		r = one_to_bwrap(&m->list[i], args);
	return r;
}

/* Read-only files inside a writable private directory stay read-only by their mount. */
int mounts_to_landlock(const struct mounts *m, char ***ret_ro, char ***ret_rw)
{
	auto_strv char **ro = NULL;
	auto_strv char **rw = NULL;
	int r = strv_push(&ro, "/etc");

	for (size_t i = 0; i < m->n && r == 0; i++) {
		const struct mount *e = &m->list[i];

		if (e->kind == MOUNT_SYMLINK)
			continue;
		r = strv_push(e->kind == MOUNT_RO || e->kind == MOUNT_DATA ? &ro : &rw, e->dest);
	}
	if (r < 0)
		return r;
	*ret_ro = take_ptr(ro);
	*ret_rw = take_ptr(rw);
	return 0;
}
