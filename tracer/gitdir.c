#include "tracer/gitdir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/str.h"

enum { LINE_MAX_ = PATH_MAX + 16 };

void gitdir_done(struct gitdir *g)
{
	free(g->dir);
	free(g->common);
	free(g->name);
	*g = (struct gitdir){ 0 };
}

/* The first line of a regular file, without @prefix, as a path resolved from @dir; or NULL. */
static char *path_in_file(const char *dir, const char *file, const char *prefix)
{
	auto_free char *text = NULL;
	char path[PATH_MAX], full[PATH_MAX];
	const char *value;
	struct stat st;

	if (!str_format(path, sizeof(path), "%s/%s", dir, file) || lstat(path, &st) < 0 ||
		!S_ISREG(st.st_mode) || fd_slurp_at(AT_FDCWD, path, LINE_MAX_, &text, NULL) < 0 ||
		!str_starts(text, prefix))
		return NULL;
	value = text + strlen(prefix);
	text[strlen(text) - (str_ends(text, "\n") ? 1 : 0)] = '\0';
	if (!str_format(full, sizeof(full), "%s%s%s", value[0] == '/' ? "" : dir,
		    value[0] == '/' ? "" : "/", value))
		return NULL;
	return realpath(full, NULL);
}

/* Whether DIR/gitdir names @workdir/.git, and DIR is worktrees/NAME of what DIR/commondir names. */
static bool is_worktree_of(const char *dir, const char *workdir, const char *common)
{
	auto_free char *back = path_in_file(dir, "gitdir", "");
	auto_free char *real = realpath(workdir, NULL);
	size_t n = real ? strlen(real) : 0, c = common ? strlen(common) : 0;

	return back && common && n && strncmp(back, real, n) == 0 && str_eq(back + n, "/.git") &&
	       strncmp(dir, common, c) == 0 && str_starts(dir + c, "/worktrees/") &&
	       !strchr(dir + c + strlen("/worktrees/"), '/');
}

int gitdir_find(const char *workdir, struct gitdir *ret)
{
	struct gitdir g = { .dir = path_in_file(workdir, ".git", "gitdir: ") };

	if (!g.dir)
		return -ENOENT;
	g.common = path_in_file(g.dir, "commondir", "");
	g.is_worktree = is_worktree_of(g.dir, workdir, g.common);
	if (g.is_worktree) {
		g.name = strdup(g.dir + strlen(g.common) + 1);
		if (!g.name) {
			gitdir_done(&g);
			return -ENOMEM;
		}
	}
	*ret = g;
	return 0;
}
