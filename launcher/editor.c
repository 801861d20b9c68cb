#include "launcher/editor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/cli.h"
#include "launcher/out.h"
#include "launcher/sshconfig.h"
#include "lib/analyzer.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/state.h"
#include "lib/str.h"

extern char **environ;

enum { CONFIG_MAX = 1024 * 1024 };

static const char suffix[] = ".conf";

static const struct editor {
	const char *name, *command, *title;
} editors[] = {
	{ "vscode", "code", "Visual Studio Code" },
	{ "cursor", "cursor", "Cursor" },
};

static const struct editor *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(editors); i++)
		if (str_eq(editors[i].name, name))
			return &editors[i];
	return NULL;
}

int editor_check(const char *editor, struct err *err)
{
	return find(editor) ? 0
			    : err_set(err, -EINVAL, "--editor '%s': not one of vscode, cursor", editor);
}

/* --- our blocks --- */

static int open_blocks(struct err *err)
{
	auto_close int config = state_config_open(err);
	int fd;

	if (config < 0)
		return config;
	if (mkdirat(config, "ssh", 0700) < 0 && errno != EEXIST)
		return err_set(err, -errno, "cannot make the directory 'ssh' of the settings: %s",
			err_name(errno));
	fd = openat(config, "ssh", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? err_set(err, -errno, "the directory 'ssh' of the settings: %s", err_name(errno))
		      : fd;
}

static bool is_gone(const char *file)
{
	char name[STATE_NAME_MAX + 1];
	auto_state struct state *s = NULL;
	struct err err;

	return str_ends(file, suffix) &&
	       str_format(name, sizeof(name), "%.*s", (int)(strlen(file) - strlen(suffix)), file) &&
	       state_open(&s, name, &err) == -ENOENT;
}

static void remove_gone(int blocks)
{
	int fd = openat(blocks, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_closedir DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d && fd >= 0)
		(void)close(fd);
	while (d && (e = readdir(d)))
		if (is_gone(e->d_name))
			(void)unlinkat(blocks, e->d_name, 0);
}

static int write_block(int blocks, const char *name, struct err *err)
{
	char file[STATE_NAME_MAX + sizeof(suffix)];
	auto_free char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	int r;

	if (!f)
		return err_set(err, -ENOMEM, "out of memory");
	r = sshconfig_write(f, name, err);
	if (fclose(f) != 0 && r == 0)
		r = err_set(err, -ENOMEM, "out of memory");
	if (r < 0)
		return r;
	(void)str_format(file, sizeof(file), "%s%s", name, suffix);
	r = fd_replace_file(blocks, file, text, len);
	return r < 0 ? err_set(err, r, "cannot write '%s': %s", file, err_name(r)) : 0;
}

/* --- the line in ~/.ssh/config --- */

static int include_line(int blocks, char *out, size_t size, struct err *err)
{
	char link[64], path[PATH_MAX];
	ssize_t n;

	(void)str_format(link, sizeof(link), "/proc/self/fd/%d", blocks);
	n = readlink(link, path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = '\0';
	if (strpbrk(path, "\"\n*?[]"))
		return err_set(err, -EINVAL, "ssh cannot read settings in '%s'", path);
	return str_format(out, size, "Include \"%s/*%s\"\n", path, suffix)
		       ? 0
		       : err_set(err, -ENAMETOOLONG, "'%s' is too long", path);
}

static bool has_line(const char *text, const char *line)
{
	const char *p = strstr(text, line);

	return p && (p == text || p[-1] == '\n');
}

/* Dotfiles may be links: what they lead to is replaced, with the mode it has. */
static int prepend(const char *path, const char *line, const char *text, struct err *err)
{
	auto_free char *real = realpath(path, NULL), *dir = strdup(real ? real : path);
	auto_close int dirfd = -1;
	auto_buf struct buf all = { 0 };
	struct stat st;
	char *slash = dir ? strrchr(dir, '/') : NULL;
	int r;

	if (!slash)
		return err_set(err, -ENOMEM, "out of memory");
	*slash = '\0';
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	buf_init(&all, 2 * CONFIG_MAX);
	r = dirfd < 0 ? -errno : buf_printf(&all, "%s\n%s", line, text);
	if (r == 0)
		r = fd_replace_file(dirfd, slash + 1, buf_head(&all), all.len);
	if (r == 0 && real && stat(real, &st) == 0 && (st.st_mode & 0777) != 0600)
		out_note("'%s' now has mode 0600", real);
	return r < 0 ? err_set(err, r, "cannot write '%s': %s", path, err_name(r)) : 0;
}

static int include_blocks(int blocks, struct err *err)
{
	const char *home = getenv("HOME");
	char line[PATH_MAX + 64], path[PATH_MAX], dir[PATH_MAX];
	auto_free char *text = NULL;
	int r = include_line(blocks, line, sizeof(line), err);

	if (r < 0)
		return r;
	if (!home || !str_format(dir, sizeof(dir), "%s/.ssh", home) ||
		!str_format(path, sizeof(path), "%s/config", dir))
		return err_set(err, -ENOENT, "there is no home directory for ssh's settings");
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_set(err, -errno, "cannot make '%s': %s", dir, err_name(errno));
	r = fd_slurp_at(AT_FDCWD, path, CONFIG_MAX, &text, NULL);
	if (r < 0 && r != -ENOENT)
		return err_set(err, r, "cannot read '%s': %s", path, err_name(r));
	if (text && has_line(text, line))
		return 0;
	r = prepend(path, line, text ? text : "", err);
	if (r == 0)
		out_note("'%s' now begins with: %.*s", path, (int)strcspn(line, "\n"), line);
	return r;
}

/* --- the editor --- */

/* gcc 12: the name was checked when it was read (editor_check()). */
ANALYZER_OFF("-Wanalyzer-null-dereference")
static int start(const struct editor *e, char *remote, char *dir)
{
	char *const argv[] = { (char *)(uintptr_t)e->command, (char[]){ "--remote" }, remote, dir, NULL };
	struct err err = { 0 };
	int status = 0;
	pid_t pid;
	int r = -posix_spawnp(&pid, e->command, NULL, NULL, argv, environ);

	if (r < 0) {
		(void)err_set(&err, r, "%s cannot be started: '%s': %s", e->title, e->command,
			err_name(r));
		(void)err_hint(&err, r,
			"install %s with its extension Remote - SSH, then: %s --remote %s '%s'",
			e->title, e->command, remote, dir);
		return out_fail(CLI_FAILED, &err);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return out_error(CLI_FAILED, "%s: '%s --remote %s' failed", e->title, e->command, remote);
	return CLI_OK;
}
ANALYZER_ON

int editor_open(const char *editor, const char *name, const char *dir)
{
	char remote[STATE_NAME_MAX + 64], place[PATH_MAX];
	auto_close int blocks = -1;
	struct err err = { 0 };
	int r;

	blocks = open_blocks(&err);
	r = blocks < 0 ? blocks : write_block(blocks, name, &err);
	if (r == 0) {
		remove_gone(blocks);
		r = include_blocks(blocks, &err);
	}
	if (r < 0)
		return out_fail(CLI_FAILED, &err);
	(void)str_format(remote, sizeof(remote), "ssh-remote+openshell-%s", name);
	if (!str_copy(place, sizeof(place), dir))
		return out_error(CLI_FAILED, "'%s' is too long", dir);
	return start(find(editor), remote, place);
}
