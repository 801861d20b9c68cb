#include "launcher/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/analyzer.h"
#include "lib/cleanup.h"
#include "lib/str.h"
#include "lib/strv.h"

enum { SHEBANG_MAX = 256 };

void agent_done(struct agent *a)
{
	free(a->program);
	free(a->exe);
	free(a->install);
	strv_free(a->ro);
	strv_free(a->links);
	*a = (struct agent){ 0 };
}

static bool is_under(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return n && strncmp(path, dir, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

/* --- what belongs together --- */

/* What an installation for everybody keeps in PREFIX/lib/node_modules has its dependencies below itself. */
static bool is_global(const char *real, size_t n)
{
	return n >= strlen("/lib") && strncmp(real + n - strlen("/lib"), "/lib", strlen("/lib")) == 0;
}

/*
 * The package below node_modules, NAME or @SCOPE/NAME, where its dependencies lie in it; else they lie beside it
 * (npm install without -g, bun), and it is all of node_modules. That of the working directory is not taken whole:
 * it is there anyhow, to be written.
 */
static size_t package_len(const char *real, const char *workdir)
{
	const char *p = strstr(real, "/node_modules/");

	if (!p)
		return 0;
	if (!is_global(real, (size_t)(p - real)) && !(workdir && is_under(real, workdir)))
		return (size_t)(p - real) + strlen("/node_modules");
	p += strlen("/node_modules/");
	if (*p == '@')
		p += strcspn(p, "/") + 1;
	return (size_t)(p - real) + strcspn(p, "/");
}

static size_t up_to(const char *real, const char *part, bool is_included)
{
	const char *p = strstr(real, part);

	return p ? (size_t)(p - real) + (is_included ? strlen(part) - 1 : 0) : 0;
}

/* PREFIX of PREFIX/bin/NAME, unless that is a place for everything. */
static size_t prefix_len(const char *real, const char *home)
{
	const char *slash = strrchr(real, '/');
	size_t n = slash ? (size_t)(slash - real) : 0;
	auto_free char *prefix = NULL;
	char local[PATH_MAX];

	if (n <= strlen("/bin") || strncmp(real + n - strlen("/bin"), "/bin", strlen("/bin")) != 0)
		return 0;
	n -= strlen("/bin");
	prefix = strndup(real, n);
	if (!prefix || !str_format(local, sizeof(local), "%s/.local", home) ||
		str_eq(prefix, local) || is_under(home, prefix) || str_eq(prefix, "/opt"))
		return 0;
	return n;
}

char *agent_install_of(const char *real, const char *home, const char *workdir)
{
	size_t n = up_to(real, "/.pnpm/", true);

	if (n == 0)
		n = up_to(real, "/Cellar/", false);
	if (n == 0)
		n = package_len(real, workdir);
	if (n == 0)
		n = prefix_len(real, home);
	return strndup(real, n ? n : strlen(real));
}

/* --- finding it --- */

/* Below the home directory, or absolute; patterns in glob(3)'s sense, the last match counts. */
static const char *const places[] = {
	".local/bin",
	".npm-global/bin",
	".npm-packages/bin",
	".nvm/versions/node/*/bin",
	".volta/bin",
	".bun/bin",
	".local/share/pnpm",
	".local/share/mise/installs/node/*/bin",
	".asdf/installs/nodejs/*/bin",
	".opencode/bin",
	".claude/local",
	".local/share/pipx/venvs/*/bin",
	".local/share/uv/tools/*/bin",
	"/home/linuxbrew/.linuxbrew/bin",
	"/opt/homebrew/bin",
	"/usr/local/bin",
	"/usr/bin",
};

static bool is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* gcc 12: the caller owns what is returned. */
ANALYZER_OFF("-Wanalyzer-malloc-leak")
static char *in_places(const char *command, const char *home)
{
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		char pattern[PATH_MAX];
		char *found = NULL;
		glob_t g;

		if (!str_format(pattern, sizeof(pattern), "%s%s%s/%s",
			    places[i][0] == '/' ? "" : home, places[i][0] == '/' ? "" : "/",
			    places[i], command) ||
			glob(pattern, 0, NULL, &g) != 0)
			continue;
		for (size_t j = g.gl_pathc; j > 0 && !found; j--)
			if (is_program(g.gl_pathv[j - 1]))
				found = strdup(g.gl_pathv[j - 1]);
		globfree(&g);
		if (found)
			return found;
	}
	return NULL;
}
ANALYZER_ON

static char *in_path(const char *command)
{
	const char *p = getenv("PATH");

	while (p && *p) {
		size_t n = strcspn(p, ":");
		char path[PATH_MAX];

		if (p[0] == '/' && str_format(path, sizeof(path), "%.*s/%s", (int)n, p, command) &&
			is_program(path))
			return strdup(path);
		p += n + (p[n] == ':');
	}
	return NULL;
}

static char *locate(const char *command, const char *home)
{
	char *found;

	if (strchr(command, '/'))
		return is_program(command) ? realpath(command, NULL) : NULL;
	found = in_path(command);
	return found ? found : in_places(command, home);
}

/* --- its interpreter --- */

/* The word after "#!", or the command that env(1) is to find there; false for a binary. */
static bool read_shebang(const char *program, char ret[SHEBANG_MAX])
{
	auto_close int fd = open(program, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char line[SHEBANG_MAX];
	ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);
	char *save = NULL, *word;

	if (n < 3 || line[0] != '#' || line[1] != '!')
		return false;
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	word = strtok_r(line + 2, " \t", &save);
	if (word && str_ends(word, "/env"))
		do
			word = strtok_r(NULL, " \t", &save);
		while (word && (word[0] == '-' || strchr(word, '=')));
	return word && str_copy(ret, SHEBANG_MAX, word);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* nvm and npm put the interpreter beside the links to its packages' programs. */
static char *locate_beside(const char *found, const char *command, const char *home)
{
	const char *slash = strrchr(found, '/');
	char path[PATH_MAX];

	if (slash && !strchr(command, '/') &&
		str_format(path, sizeof(path), "%.*s/%s", (int)(slash - found), found, command) &&
		is_program(path))
		return strdup(path);
	return locate(command, home);
}

/* /usr is there by the policy; and what is found by its name needs no link. */
static int need(struct agent *a, const char *name, const char *real, const char *install)
{
	char link[PATH_MAX];

	if (is_under(real, "/usr"))
		return 0;
	if (strv_push(&a->ro, install) < 0)
		return -ENOMEM;
	return str_format(link, sizeof(link), "%s=%s", name, real) ? strv_push(&a->links, link)
								   : -ENAMETOOLONG;
}

static int find_interpreter(
	struct agent *a, const char *found, const char *home, const char *workdir, struct err *err)
{
	auto_free char *place = NULL, *install = NULL;
	char word[SHEBANG_MAX];

	if (!read_shebang(a->program, word)) {
		a->exe = strdup(a->program);
		return a->exe ? 0 : -ENOMEM;
	}
	place = locate_beside(found, word, home);
	a->exe = place ? realpath(place, NULL) : NULL;
	if (!a->exe)
		return err_set(
			err, -EINVAL, "'%s' needs '%s', which is not installed", a->program, word);
	install = agent_install_of(a->exe, home, workdir);
	return install ? need(a, base_name(word), a->exe, install) : -ENOMEM;
}

/* In a policy these would be patterns. */
static bool is_nameable(const char *path)
{
	return !strpbrk(path, "*?[]{}$\n");
}

int agent_find(struct agent *ret, const char *command, const char *workdir, struct err *err)
{
	const char *home = getenv("HOME") ? getenv("HOME") : "/nonexistent";
	auto_free char *found = locate(command, home);
	struct agent a = { 0 };
	int r;

	if (!found)
		return -ENOENT;
	a.program = realpath(found, NULL);
	a.install = a.program ? agent_install_of(a.program, home, workdir) : NULL;
	if (!a.install)
		return -ENOMEM;
	r = need(&a, base_name(command), a.program, a.install);
	if (r == 0)
		r = find_interpreter(&a, found, home, workdir, err);
	if (r == 0 && !(is_nameable(a.exe) && is_nameable(a.install)))
		r = err_set(err, -EINVAL, "'%s': a policy cannot name this path", a.exe);
	if (r < 0) {
		agent_done(&a);
		return r;
	}
	*ret = a;
	return 0;
}
