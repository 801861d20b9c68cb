#include "tracer/protect.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <linux/nsfs.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/analyzer.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/gitadopt.h"
#include "lib/str.h"
#include "lib/strv.h"

/* Below every directory that can be written. */
static const struct name {
	const char *path;
	const char *content; /* of the stub, where a socket in its place would make git fail */
	const char *reader; /* below the home directory: what is missing is left so without this */
	/* What the sandbox reads in a stub's place, where its readers fail at a socket. Directories list
	 * the stub itself: git goes on seeing a socket, which it neither shows nor adds. */
	const char *inside;
} names[] = {
	/* What git runs, and what can point it to settings elsewhere. */
	{ .path = ".git/hooks" },
	{ .path = ".git/config", .content = "" },
	{ .path = ".git/config.worktree", .content = "" },
	{ .path = ".git/commondir", .content = ".\n" },
	{ .path = ".git/modules" },
	{ .path = ".gitmodules" },
	/* Agents: settings, hooks, commands, MCP servers. */
	{ .path = ".mcp.json" },
	{ .path = ".claude/settings.json" },
	{ .path = ".claude/settings.local.json" },
	{ .path = ".claude/hooks" },
	{ .path = ".claude/commands" },
	{ .path = ".claude/agents" },
	{ .path = ".claude/skills" },
	{ .path = ".codex" },
	{ .path = ".gemini", .content = STUBS_DIR },
	{ .path = ".opencode", .content = STUBS_DIR, .reader = ".config/opencode" },
	{ .path = "opencode.json", .reader = ".config/opencode", .inside = "" },
	{ .path = "opencode.jsonc", .reader = ".config/opencode", .inside = "" },
	{ .path = ".cursor" },
	{ .path = ".windsurf" },
	{ .path = ".aider.conf.yml", .inside = "{}\n" },
	/* Editors and what runs on entering a directory. */
	{ .path = ".vscode/tasks.json" },
	{ .path = ".vscode/settings.json" },
	{ .path = ".vscode/launch.json" },
	{ .path = ".vscode/mcp.json" },
	{ .path = ".idea" },
	{ .path = ".zed" },
	{ .path = ".devcontainer" },
	{ .path = ".envrc" },
	/* Shell start files. */
	{ .path = ".bashrc" },
	{ .path = ".bash_profile" },
	{ .path = ".bash_login" },
	{ .path = ".bash_logout" },
	{ .path = ".bash_aliases" },
	{ .path = ".profile" },
	{ .path = ".zshenv" },
	{ .path = ".zshrc" },
	{ .path = ".zprofile" },
	{ .path = ".zlogin" },
	{ .path = ".zlogout" },
};

/* Below a git directory that is granted because a worktree needs it. */
static const struct name git_names[] = {
	{ .path = "hooks" },
	{ .path = "config", .content = "" },
	{ .path = "config.worktree", .content = "" },
	{ .path = "commondir", .content = ".\n" },
	{ .path = "modules" },
};

void protect_done(struct protect *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->list[i].path);
		free(p->list[i].host);
	}
	free(p->list);
	strv_free(p->roots);
	strv_free(p->notes);
	stubs_done(&p->stubs);
	*p = (struct protect){ 0 };
}

/* --- what is to be protected --- */

static struct protect_entry *find_entry(const struct protect *p, const char *path)
{
	for (size_t i = 0; i < p->n; i++)
		if (str_eq(p->list[i].path, path))
			return &p->list[i];
	return NULL;
}

/* gcc 12: the list owns the copy. */
ANALYZER_OFF("-Wanalyzer-malloc-leak")
static int add_entry(struct protect *p, const char *path, bool is_ro)
{
	struct protect_entry *list = find_entry(p, path);

	if (list) {
		list->is_ro |= is_ro;
		return 0;
	}
	if (p->n == p->alloc) {
		list = realloc(p->list, (p->alloc ? p->alloc * 2 : 64) * sizeof(*list));
		if (!list)
			return -ENOMEM;
		p->list = list;
		p->alloc = p->alloc ? p->alloc * 2 : 64;
	}
	p->list[p->n] = (struct protect_entry){ .path = strdup(path) };
	if (!p->list[p->n].path)
		return -ENOMEM;
	p->list[p->n++].is_ro = is_ro;
	return 0;
}
ANALYZER_ON

static int add_note(struct protect *p, const char *fmt, const char *path)
{
	char text[PATH_MAX + 256];

	/* The formats are ours, with one %s. */
	return str_format(text, sizeof(text), fmt, path) ? strv_push(&p->notes, text) : 0;
}

struct grants {
	const struct policy_static *policy;
	const struct sandbox_spec *spec;
	int state_dir;
};

/* Somebody listed the path itself, or a directory between the granted one and it. */
static bool is_released(const struct grants *q, const char *root, const char *path)
{
	const char *const *const lists[] = { q->policy->read_write,
		(const char *const *)q->spec->rw };

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		for (const char *const *s = lists[i]; s && *s; s++)
			if (mounts_is_under(path, *s) && mounts_is_under(*s, root) &&
				!str_eq(*s, root))
				return true;
	return false;
}

static const char *root_of(const struct protect *p, const char *path)
{
	const char *best = NULL;

	for (char **r = p->roots; r && *r; r++)
		if (mounts_is_under(path, *r) && (!best || strlen(*r) > strlen(best)))
			best = *r;
	return best;
}

static int protect_path(struct protect *p, const struct grants *q, const char *root,
	const char *rest, const struct name *name, unsigned int links, struct err *err);

/* The link itself stays; what it leads to is protected where the sandbox could write it. */
static int protect_link(struct protect *p, const struct grants *q, const char *path,
	const char *rest, const struct name *name, unsigned int links, struct err *err)
{
	auto_free char *real = realpath(path, NULL);
	char full[PATH_MAX];
	const char *root;
	int r = add_entry(p, path, true);

	if (r < 0)
		return r;
	if (!real)
		return add_note(p, "'%s' is a link to nothing: what it names can be created", path);
	root = root_of(p, real);
	if (!root || str_eq(root, real) || links == 0)
		return 0;
	if (!str_format(full, sizeof(full), "%s%s", real + strlen(root) + 1, rest))
		return -ENAMETOOLONG;
	return protect_path(p, q, root, full, name, links - 1, err);
}

/* @name: NULL where something below @path was meant. */
static int protect_missing(struct protect *p, const struct grants *q, const char *root,
	const char *path, const struct name *name, struct err *err)
{
	const char *content = name ? name->content : NULL;
	bool is_git;
	int r;

	if (find_entry(p, path))
		return 0;
	is_git = str_eq(path + strlen(root), "/.git");
	r = is_git ? stubs_make_git(&p->stubs, q->state_dir, root, err)
		   : stubs_make(&p->stubs, q->state_dir, root, path, content, err);
	/* Who may not create it outside may not inside. */
	if (r == -EACCES || r == -EROFS || r == -EPERM)
		return 0;
	if (r == 0)
		r = add_entry(p, path, !is_git);
	if (r < 0)
		return r;
	p->list[p->n - 1].is_git = is_git;
	p->list[p->n - 1].inside = name ? name->inside : NULL;
	return 0;
}

static int protect_there(struct protect *p, const struct grants *q, const char *root,
	const char *path, const struct stat *st, const struct name *name, struct err *err)
{
	if (stubs_is_one(path, st))
		return protect_missing(p, q, root, path, name, err);
	if (S_ISREG(st->st_mode) && st->st_nlink > 1 &&
		add_note(p, "'%s' has further names (hard links), which are not protected", path) <
			0)
		return -ENOMEM;
	return add_entry(p, path, true);
}

/*
 * @rest, relative to @root, component by component: links are followed here and nowhere else.
 * The last component is made read-only, those before it cannot be renamed.
 */
static int protect_path(struct protect *p, const struct grants *q, const char *root,
	const char *rest, const struct name *name, unsigned int links, struct err *err)
{
	char path[PATH_MAX];
	size_t len = strlen(root);
	int r = 0;

	if (!str_format(path, sizeof(path), "%s/%s", root, rest))
		return err_set(err, -ENAMETOOLONG, "'%s/%s' is too long", root, rest);
	while (path[len] && r == 0) {
		size_t end = len + 1 + strcspn(path + len + 1, "/");
		bool is_last = path[end] == '\0';
		char saved = path[end];
		struct stat st;

		path[end] = '\0';
		if (is_released(q, root, path))
			return 0;
		if (lstat(path, &st) < 0)
			return errno == ENOENT ? protect_missing(p, q, root, path,
							 is_last ? name : NULL, err)
					       : err_set(err, -errno, "protecting '%s': %s", path,
							 err_name(errno));
		path[end] = saved;
		if (S_ISLNK(st.st_mode) && !stubs_is_one(path, &st)) {
			char tail[PATH_MAX];

			(void)str_copy(tail, sizeof(tail), path + end);
			path[end] = '\0';
			return protect_link(p, q, path, tail, name, links, err);
		}
		path[end] = '\0';
		if (is_last || !S_ISDIR(st.st_mode) || stubs_is_one(path, &st))
			return protect_there(p, q, root, path, &st, is_last ? name : NULL, err);
		r = add_entry(p, path, false);
		path[end] = saved;
		len = end;
	}
	return r;
}

enum { LINKS_MAX = 8 };

static bool is_wanted(const char *root, const struct name *name)
{
	const char *home = getenv("HOME");
	char path[PATH_MAX];
	struct stat st;

	if (!name->reader || (str_format(path, sizeof(path), "%s/%s", root, name->path) &&
				     lstat(path, &st) == 0))
		return true;
	return home && str_format(path, sizeof(path), "%s/%s", home, name->reader) &&
	       lstat(path, &st) == 0;
}

static int protect_names(struct protect *p, const struct grants *q, const char *root,
	const struct name *list, size_t n, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		if (is_wanted(root, &list[i]))
			r = protect_path(p, q, root, list[i].path, &list[i], LINKS_MAX, err);
	return r;
}

static int find_roots(struct protect *p, const struct mounts *m)
{
	int r = 0;

	for (size_t i = 0; i < m->n && r == 0; i++) {
		const struct mount *e = &m->list[i];
		struct stat st;

		if (e->kind == MOUNT_RW && !e->is_private && stat(e->src, &st) == 0 &&
			S_ISDIR(st.st_mode))
			r = strv_push(&p->roots, e->src);
	}
	return r;
}

/* What the launcher named: the policy file, and in settings what the profile protects. No
 * repository is there that would show a link. */
static int protect_named(struct protect *p, const struct grants *q, struct err *err)
{
	static const struct name missing = { .content = STUBS_LINK };
	int r = 0;

	for (char **f = q->spec->protect; f && *f && r == 0; f++) {
		const char *root = root_of(p, *f);

		if (root && !str_eq(root, *f))
			r = protect_path(
				p, q, root, *f + strlen(root) + 1, &missing, LINKS_MAX, err);
	}
	return r;
}

/* What says which repository the worktree belongs to, and how it differs. */
static int protect_worktree(
	struct protect *p, const struct grants *q, const struct mounts *m, struct err *err)
{
	static const char *const files[] = { "commondir", "gitdir", "config.worktree" };
	static const struct name empty = { .content = "" };
	const char *root = root_of(p, m->git_dir);
	char dir[PATH_MAX], path[PATH_MAX];
	int r = 0;

	if (!root || !str_format(dir, sizeof(dir), "%s/%s", m->git_dir, m->git_worktree))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(files) && r == 0; i++)
		if (str_format(path, sizeof(path), "%s/%s", dir + strlen(root) + 1, files[i]))
			r = protect_path(p, q, root, path, &empty, LINKS_MAX, err);
	return r;
}

/* Settings of the user's home that stand in the sandbox's: the profile says what is protected. */
static const struct mount *moved_by(const struct mounts *m, const char *path)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->list[i].kind == MOUNT_RW && !m->list[i].is_private &&
			!str_eq(m->list[i].src, m->list[i].dest) &&
			mounts_is_under(path, m->list[i].src))
			return &m->list[i];
	return NULL;
}

/* Found at their places on the host, mounted at those inside. */
static int move_entries(struct protect *p, const struct mounts *m)
{
	for (size_t i = 0; i < p->n; i++) {
		struct protect_entry *e = &p->list[i];
		const struct mount *moved = moved_by(m, e->path);
		char path[PATH_MAX];
		char *copy;

		if (!moved)
			continue;
		if (!str_format(
			    path, sizeof(path), "%s%s", moved->dest, e->path + strlen(moved->src)))
			return -ENAMETOOLONG;
		copy = strdup(path);
		if (!copy)
			return -ENOMEM;
		e->host = e->path;
		e->path = copy;
	}
	return 0;
}

/* A directory that was granted inside a protected one stays as granted. */
static void keep_grants(struct protect *p, const struct mounts *m)
{
	for (size_t i = 0; i < p->n; i++)
		for (size_t j = 0; j < m->n; j++)
			if (m->list[j].kind == MOUNT_RW &&
				mounts_is_under(m->list[j].dest, p->list[i].path))
				p->list[i].has_grant = true;
}

const struct protect_entry *protect_find(const struct protect *p, const char *path)
{
	const struct protect_entry *found = NULL;

	for (size_t i = 0; i < p->n; i++)
		if (mounts_is_under(path, p->list[i].path) &&
			(p->list[i].is_ro || str_eq(path, p->list[i].path)))
			found = &p->list[i];
	return found;
}

int protect_plan(struct protect *p, const struct mounts *m, const struct policy_static *policy,
	const struct sandbox_spec *spec, int state_dir, struct err *err)
{
	const struct grants q = { policy, spec, state_dir };
	int r = find_roots(p, m);

	for (char **root = p->roots; root && *root && r == 0; root++)
		r = moved_by(m, *root) ? 0
		    : m->git_dir && str_eq(*root, m->git_dir)
			    ? protect_names(p, &q, *root, git_names, ARRAY_SIZE(git_names), err)
			    : protect_names(p, &q, *root, names, ARRAY_SIZE(names), err);
	if (r == 0 && m->git_worktree)
		r = protect_worktree(p, &q, m, err);
	if (r == 0)
		r = protect_named(p, &q, err);
	keep_grants(p, m);
	if (r == 0)
		r = move_entries(p, m);
	return r == -ENOMEM ? err_set(err, r, "out of memory") : r;
}

/* --- the mounts, made by a child in the sandbox's mount namespace --- */

static int join(int mntns)
{
	auto_close int userns = ioctl(mntns, NS_GET_USERNS);

	if (userns < 0)
		return -errno;
	/* EINVAL: it is our own already. */
	if (setns(userns, CLONE_NEWUSER) < 0 && errno != EINVAL)
		return -errno;
	return setns(mntns, CLONE_NEWNS) < 0 ? -errno : 0;
}

/* Without following a link at the end; before it there are none but the host's own. */
static int open_target(const char *path)
{
	const struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_NO_MAGICLINKS };
	int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

	return fd < 0 ? -errno : fd;
}

static int clone_tree(int target, unsigned int depth)
{
	int tree = (int)syscall(SYS_open_tree, target, "",
		AT_EMPTY_PATH | depth | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	return tree < 0 ? -errno : tree;
}

static int set_readonly(int tree, unsigned int depth)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };

	return syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | depth, &attr, sizeof(attr)) < 0
		       ? -errno
		       : 0;
}

static int attach(int tree, int target)
{
	return syscall(SYS_move_mount, tree, "", target, "",
		       MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0
		       ? -errno
		       : 0;
}

/*
 * The attached mount @tree becomes read-only; the kernel wants to be told of the other flags again,
 * but for those of access times. Its name is that of the descriptor, for a path would be followed
 * where it ends in a link: child() works in its /proc/self/fd.
 */
static int remount_readonly(int tree)
{
	static const unsigned long kept = ST_NOSUID | ST_NODEV | ST_NOEXEC; /* as MS_* */
	struct statvfs fs;
	char name[16];

	if (fstatvfs(tree, &fs) < 0)
		return -errno;
	(void)str_format(name, sizeof(name), "%d", tree);
	return mount(NULL, name, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | (fs.f_flag & kept),
		       NULL) < 0
		       ? -errno
		       : 0;
}

#define INSIDE_FILE "/run/openshell/stub-%zu" /* by the length of what is in it */

/*
 * A file of the sandbox's own /run with @content, to be mounted where it is read; before the first command,
 * so nobody else has put one there. The sandbox may change it, and with it what it reads itself.
 */
static int make_inside(const char *content)
{
	auto_close int fd = -1;
	char path[64];
	int r;

	(void)str_format(path, sizeof(path), INSIDE_FILE, strlen(content));
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0444);
	if (fd < 0)
		return errno == EEXIST ? open_target(path) : -errno;
	r = fd_write_all(fd, content, strlen(content));
	return r < 0 ? r : take_fd(fd);
}

/* A copy of what @target shows, or of what is to be read there instead. The latter is a kindness: without
 * it the stub itself stands there. */
static int clone_shown(const struct protect_entry *e, int target, unsigned int depth)
{
	auto_close int inside = e->inside ? make_inside(e->inside) : -1;
	int tree = inside < 0 ? -1 : clone_tree(inside, 0);

	return tree < 0 ? clone_tree(target, depth) : tree;
}

/*
 * Before mount_setattr (5.12) one mount at a time can be made read-only. So what is mounted below
 * is left out of the copy, or refused by the kernel, rather than left writable.
 */
static int mount_one_old(const struct protect_entry *e, int target)
{
	auto_close int tree = clone_shown(e, target, e->has_grant ? AT_RECURSIVE : 0);
	int r = tree < 0 ? tree : attach(tree, target);

	return r == 0 ? remount_readonly(tree) : r;
}

/* The two directories change places, and the empty one is read-only: git sees nothing of it. */
static int mount_git(const struct protect_entry *e)
{
	auto_close int stub = open_target(e->path), stub_tree = -1, dir = -1, dir_tree = -1;
	char path[PATH_MAX];
	int r;

	if (!str_format(path, sizeof(path), "%.*s" GITADOPT_DIR,
		    (int)(strlen(e->path) - strlen(".git")), e->path))
		return -ENAMETOOLONG;
	dir = open_target(path);
	if (stub < 0 || dir < 0)
		return stub < 0 ? stub : dir;
	stub_tree = clone_tree(stub, 0);
	dir_tree = clone_tree(dir, AT_RECURSIVE);
	if (stub_tree < 0 || dir_tree < 0)
		return stub_tree < 0 ? stub_tree : dir_tree;
	r = attach(dir_tree, stub);
	if (r == 0)
		r = attach(stub_tree, dir);
	if (r == 0)
		r = set_readonly(stub_tree, 0);
	return r == -ENOSYS ? remount_readonly(stub_tree) : r;
}

static int mount_one(const struct protect_entry *e)
{
	auto_close int target = -1, tree = -1;
	int r;

	if (e->is_git)
		return mount_git(e);
	target = open_target(e->path);
	tree = target < 0 ? target : clone_shown(e, target, AT_RECURSIVE);
	if (tree < 0)
		return tree;
	r = e->is_ro ? set_readonly(tree, e->has_grant ? 0 : AT_RECURSIVE) : 0;
	if (r == -ENOSYS)
		return mount_one_old(e, target);
	return r == 0 ? attach(tree, target) : r;
}

struct failure {
	int errnum;
	size_t at; /* the entry; beyond the last: joining */
};

static _Noreturn void child(const struct protect *p, int mntns, int report)
{
	struct failure f = { .at = p->n };
	int fds = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC); /* the host's /proc */
	int r = fds < 0 ? -errno : join(mntns);

	if (r == 0 && fchdir(fds) < 0)
		r = -errno;
	for (size_t i = 0; i < p->n && r == 0; i++) {
		f.at = i;
		r = mount_one(&p->list[i]);
	}
	f.errnum = -r;
	_exit(write(report, &f, sizeof(f)) != (ssize_t)sizeof(f));
}

int protect_apply(const struct protect *p, pid_t init, struct err *err)
{
	auto_close int mntns = -1, there = -1, here = -1;
	struct failure f = { .errnum = EPIPE, .at = p->n };
	char path[64];
	int pipefd[2];
	pid_t pid;

	if (p->n == 0)
		return 0;
	(void)str_format(path, sizeof(path), "/proc/%d/ns/mnt", (int)init);
	mntns = open(path, O_RDONLY | O_CLOEXEC);
	if (mntns < 0 || pipe2(pipefd, O_CLOEXEC) < 0)
		return err_set(err, -errno, "protecting files: %s: %s", path, err_name(errno));
	here = pipefd[0];
	there = pipefd[1];
	pid = fork();
	if (pid < 0)
		return err_set(err, -errno, "fork: %s", err_name(errno));
	if (pid == 0)
		child(p, mntns, there);
	(void)close(take_fd(there));
	(void)!read(here, &f, sizeof(f));
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (f.errnum == ENOSYS)
		return err_set(err, -ENOSYS, "protecting files needs Linux 5.2 (open_tree)");
	return f.errnum ? err_set(err, -f.errnum, "protecting '%s': %s",
				  f.at < p->n ? p->list[f.at].path : "the sandbox's files",
				  err_name(f.errnum))
			: 0;
}
