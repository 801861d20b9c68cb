#include "lib/gitadopt.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/str.h"

enum { CONFIG_MAX = 64 * 1024, NAME_MAX_ = 128 };

/* --- settings --- */

static bool is_boolean(const char *v)
{
	return str_eq(v, "true") || str_eq(v, "false");
}

static bool is_false(const char *v)
{
	return str_eq(v, "false");
}

static bool is_version(const char *v)
{
	return str_eq(v, "0") || str_eq(v, "1");
}

static bool is_hash(const char *v)
{
	return str_eq(v, "sha1") || str_eq(v, "sha256");
}

/* "TRANSPORT::ADDRESS" runs git-remote-TRANSPORT; a leading dash would be an option. */
static bool is_url(const char *v)
{
	return v[0] != '-' && !strstr(v, "::");
}

static bool is_text(const char *v)
{
	return v[0] != '-' && v[0] != '!';
}

/* Sections without or with a name of their own. */
static const struct setting {
	const char *section, *key;
	bool is_named;
	bool (*is_good)(const char *value);
} kept[] = {
	{ "core", "repositoryformatversion", false, is_version },
	{ "core", "bare", false, is_false },
	{ "core", "filemode", false, is_boolean },
	{ "core", "ignorecase", false, is_boolean },
	{ "core", "logallrefupdates", false, is_boolean },
	{ "core", "precomposeunicode", false, is_boolean },
	{ "core", "symlinks", false, is_boolean },
	{ "extensions", "objectformat", false, is_hash },
	{ "extensions", "partialclone", false, is_text },
	{ "user", "name", false, is_text },
	{ "user", "email", false, is_text },
	{ "remote", "url", true, is_url },
	{ "remote", "pushurl", true, is_url },
	{ "remote", "fetch", true, is_text },
	{ "remote", "promisor", true, is_boolean },
	{ "remote", "partialclonefilter", true, is_text },
	{ "branch", "remote", true, is_text },
	{ "branch", "merge", true, is_text },
	{ "branch", "rebase", true, is_boolean },
};

struct section {
	char name[NAME_MAX_], sub[NAME_MAX_]; /* name empty: nothing of it is kept */
	bool is_named, is_written;
};

/* Nothing that would need quoting, or go on in the next line. */
static bool is_plain(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f || strchr("\\\"#;", *s))
			return false;
	return true;
}

/* `[NAME]` or `[NAME "SUB"]`, and nothing after it. False for anything else. */
static bool enter(struct section *s, const char *line)
{
	size_t n = strspn(line + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-");
	const char *rest = line + 1 + n;
	size_t sub;

	*s = (struct section){ 0 };
	if (n == 0 || n >= sizeof(s->name))
		return false;
	memcpy(s->name, line + 1, n);
	str_lower(s->name);
	if (str_eq(rest, "]"))
		return true;
	sub = strlen(rest);
	if (str_starts(rest, " \"") && str_ends(rest, "\"]") && sub >= 5 &&
		str_format(s->sub, sizeof(s->sub), "%.*s", (int)(sub - 4), rest + 2) &&
		is_plain(s->sub))
		s->is_named = true;
	else
		s->name[0] = '\0';
	return s->is_named;
}

static const struct setting *setting_of(const struct section *s, const char *key, const char *value)
{
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		if (str_eq(kept[i].section, s->name) && kept[i].is_named == s->is_named &&
			str_case_eq(kept[i].key, key))
			return is_plain(value) && kept[i].is_good(value) ? &kept[i] : NULL;
	return NULL;
}

static int keep(struct buf *out, struct section *s, const char *key, const char *value)
{
	int r = 0;

	if (!s->is_written && s->is_named)
		r = buf_printf(out, "[%s \"%s\"]\n", s->name, s->sub);
	else if (!s->is_written)
		r = buf_printf(out, "[%s]\n", s->name);
	s->is_written = true;
	return r < 0 ? r : buf_printf(out, "\t%s = %s\n", key, value);
}

static char *trim(char *s)
{
	size_t n;

	s += strspn(s, " \t\r");
	n = strlen(s);
	while (n && strchr(" \t\r", s[n - 1]))
		s[--n] = '\0';
	return s;
}

/* One line: 1 when it is left out. */
static int take_line(struct buf *out, struct section *s, char *line)
{
	const struct setting *set;
	char *value;

	line = trim(line);
	if (!line[0] || line[0] == '#' || line[0] == ';')
		return 0;
	if (line[0] == '[')
		return !enter(s, line);
	value = strchr(line, '=');
	if (!value)
		return 1;
	*value++ = '\0';
	value = trim(value);
	set = setting_of(s, trim(line), value);
	return set ? keep(out, s, set->key, value) : 1;
}

int gitadopt_config(struct buf *out, const char *text)
{
	auto_free char *copy = strdup(text);
	struct section s = { 0 };
	char *save = NULL;
	int left = 0;

	if (!copy)
		return -ENOMEM;
	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		int r = take_line(out, &s, line);

		if (r < 0)
			return r;
		left |= r;
	}
	return left;
}

/* --- files --- */

/* What is data, and of which type it must be. */
static const struct part {
	const char *name;
	mode_t type;
	bool is_needed;
} parts[] = {
	{ "HEAD", S_IFREG, true },
	{ "objects", S_IFDIR, true },
	{ "refs", S_IFDIR, true },
	{ "logs", S_IFDIR, false },
	{ "info", S_IFDIR, false },
	{ "index", S_IFREG, false },
	{ "packed-refs", S_IFREG, false },
	{ "shallow", S_IFREG, false },
	{ "ORIG_HEAD", S_IFREG, false },
	{ "FETCH_HEAD", S_IFREG, false },
	{ "MERGE_HEAD", S_IFREG, false },
	{ "MERGE_MSG", S_IFREG, false },
	{ "COMMIT_EDITMSG", S_IFREG, false },
	{ "description", S_IFREG, false },
};

static bool is_there(int dir, const struct part *p)
{
	struct stat st;

	return fstatat(dir, p->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && (st.st_mode & S_IFMT) == p->type;
}

static bool is_repository(int dir)
{
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (parts[i].is_needed && !is_there(dir, &parts[i]))
			return false;
	return true;
}

static bool is_part(int dir, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (str_eq(parts[i].name, name))
			return is_there(dir, &parts[i]);
	return false;
}

/* Nobody else's: NFS and others have no RENAME_NOREPLACE. */
static int rename_new(int from_dir, const char *from, int to_dir, const char *to)
{
	if (renameat2(from_dir, from, to_dir, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL)
		return -errno;
	if (faccessat(to_dir, to, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return -EEXIST;
	return renameat(from_dir, from, to_dir, to) < 0 ? -errno : 0;
}

static DIR *open_dir(int dir, const char *name)
{
	auto_close int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (d)
		(void)take_fd(fd);
	return d;
}

/* The samples and the empty directory of git's own template. */
static void remove_samples(int repo)
{
	auto_closedir DIR *d = open_dir(repo, "hooks");
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (str_ends(e->d_name, ".sample"))
			(void)unlinkat(dirfd(d), e->d_name, 0);
	(void)unlinkat(repo, "hooks", AT_REMOVEDIR);
	(void)unlinkat(repo, "branches", AT_REMOVEDIR);
}

/* What is no data leaves the repository. Begun again after a crash it goes on where it was. */
static int move_out(int repo, int left, const char *left_name)
{
	auto_closedir DIR *d = open_dir(repo, ".");
	struct dirent *e;
	int r = d ? 0 : -errno;

	while (d && r == 0 && (e = readdir(d)))
		if (!str_eq(e->d_name, ".") && !str_eq(e->d_name, "..") &&
			!str_eq(e->d_name, "config") && !str_eq(e->d_name, left_name) &&
			!is_part(repo, e->d_name))
			r = rename_new(repo, e->d_name, left, e->d_name);
	return r;
}

/* The settings that may stay, or none: git takes a repository without a config for one of format 0. */
static int reduce_config(int repo, int left)
{
	auto_close int fd = openat(repo, "config", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	auto_free char *text = NULL;
	auto_buf struct buf out;
	struct stat st;
	int r = 1;

	buf_init(&out, 2 * CONFIG_MAX);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= CONFIG_MAX &&
		fd_slurp(fd, CONFIG_MAX, &text, NULL) == 0)
		r = gitadopt_config(&out, text);
	if (r > 0)
		r = rename_new(repo, "config", left, "config");
	return r < 0 ? r : fd_replace_file(repo, "config", out.data ? buf_head(&out) : "", out.len);
}

/* A directory with a name that nothing looks for: the descriptor or -errno. */
static int make_left(int dir, char *ret_left, size_t size)
{
	int fd;

	if (!str_format(ret_left, size, ".git-not-adopted-%llx-%x", (unsigned long long)time(NULL),
		    (unsigned int)getpid()))
		return -ENAMETOOLONG;
	if (mkdirat(dir, ret_left, 0700) < 0)
		return -errno;
	fd = openat(dir, ret_left, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

/* What is left stays inside, where git sees it as little as anything it does not know. */
static int adopt(int root, int repo, char *ret_left, size_t size)
{
	auto_close int left = make_left(repo, ret_left, size);
	bool is_all;
	int r = left;

	if (r < 0)
		return r;
	remove_samples(repo);
	r = move_out(repo, left, ret_left);
	if (r == 0)
		r = reduce_config(repo, left);
	is_all = unlinkat(repo, ret_left, AT_REMOVEDIR) == 0;
	if (r == 0)
		r = rename_new(root, GITADOPT_DIR, root, ".git");
	return r < 0 ? r : is_all ? GITADOPT_DONE : GITADOPT_PARTLY;
}

/* Whoever wants to look in there has to say so first: it may be a repository after all. */
static int refuse(int root, char *ret_left, size_t size)
{
	auto_close int left = make_left(root, ret_left, size);
	int r = left < 0 ? left : rename_new(root, GITADOPT_DIR, left, "git");

	if (r == 0 && fchmod(left, 0) < 0)
		r = -errno;
	return r < 0 ? r : GITADOPT_REFUSED;
}

int gitadopt(const char *root, char *ret_left, size_t size)
{
	auto_close int rootfd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_close int repo = -1;

	if (rootfd < 0)
		return -errno;
	if (unlinkat(rootfd, GITADOPT_DIR, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return GITADOPT_NOTHING;
	repo = openat(rootfd, GITADOPT_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (repo < 0)
		return -errno;
	return is_repository(repo) && faccessat(rootfd, ".git", F_OK, AT_SYMLINK_NOFOLLOW) < 0
		       ? adopt(rootfd, repo, ret_left, size)
		       : refuse(rootfd, ret_left, size);
}
