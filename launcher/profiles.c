#include "launcher/profiles.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/agent.h"
#include "launcher/out.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/self.h"
#include "lib/state.h"
#include "lib/str.h"
#include "lib/strv.h"

static const char suffix[] = ".yaml";

/* In a build tree they lie beside the program, installed in the share directory next to its own. */
static const char *const data_places[] = { "profiles", "../share/openshell/profiles" };

int profiles_builtin_open(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(data_places); i++) {
		char path[PATH_MAX];
		int fd = self_path(path, sizeof(path), data_places[i]) < 0
				 ? -1
				 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd >= 0)
			return fd;
	}
	return open(DATADIR "/profiles", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int own_open(void)
{
	auto_close int config = state_config_open(NULL);

	return config < 0 ? -1 : openat(config, "profiles", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* The user's own first. */
static int (*const sources[])(void) = { own_open, profiles_builtin_open };

void profiles_list(char ***names, int dir, const char *ending, size_t max)
{
	auto_closedir DIR *d = dir < 0 ? NULL : fdopendir(dir);
	struct dirent *e;

	if (!d && dir >= 0)
		(void)close(dir);
	while (d && (e = readdir(d))) {
		size_t n = strlen(e->d_name);
		char name[NAME_MAX + 1];

		if (!str_ends(e->d_name, ending) || e->d_name[0] == '.' ||
			n - strlen(ending) > max ||
			!str_format(
				name, sizeof(name), "%.*s", (int)(n - strlen(ending)), e->d_name))
			continue;
		if (!strv_has(*names, name))
			(void)strv_push(names, name);
	}
}

char **profiles_names(void)
{
	char **names = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
		profiles_list(&names, sources[i](), suffix, PROFILE_NAME_MAX);
	strv_sort(names);
	return names;
}

static char *path_of(int dir, const char *file)
{
	char link[64], path[PATH_MAX], full[2 * PATH_MAX];
	ssize_t n;

	(void)str_format(link, sizeof(link), "/proc/self/fd/%d", dir);
	n = readlink(link, path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = '\0';
	(void)str_format(full, sizeof(full), "%s/%s", path, file);
	return strdup(full);
}

/*
 * Whether a profile's text may be for the command: its name stands between "commands:" and the
 * next key. Most commands are no agents, and what cannot be for one is not parsed.
 */
static bool may_be_for(const char *text, const char *command)
{
	const char *from = strstr(text, "commands:"), *end, *found;

	if (!from)
		return false;
	end = strchr(from + strlen("commands:"), ':');
	found = strstr(from, command);
	return found && (!end || found < end);
}

static int load_from(int dir, const char *name, const char *command, struct profile *ret,
	char **ret_text, char **ret_path, struct err *err)
{
	auto_free char *text = NULL, *path = NULL;
	char file[PROFILE_NAME_MAX + sizeof(suffix)];
	size_t len = 0;
	int r;

	if (!str_format(file, sizeof(file), "%s%s", name, suffix) || strchr(name, '/'))
		return -ENOENT;
	r = fd_slurp_at(dir, file, PROFILE_TEXT_MAX, &text, &len);
	if (r == -ENOENT ||
		(r == 0 && command && !str_eq(name, command) && !may_be_for(text, command)))
		return -ENOENT;
	path = path_of(dir, file);
	if (!path)
		return err_set(err, -ENOMEM, "out of memory");
	if (r < 0)
		return err_set(err, r, "profile '%s': %s", path, err_name(r));
	r = profile_parse(ret, text, len, err);
	if (r < 0)
		return err_wrap(err, r, "profile '%s'", path);
	if (ret_text)
		*ret_text = take_ptr(text);
	if (ret_path)
		*ret_path = take_ptr(path);
	return 0;
}

static int load(const char *name, const char *command, struct profile *ret, char **ret_text,
	char **ret_path, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		auto_close int dir = sources[i]();
		int r = dir < 0 ? -ENOENT
				: load_from(dir, name, command, ret, ret_text, ret_path, err);

		if (r != -ENOENT)
			return r;
	}
	return -ENOENT;
}

int profiles_load(
	const char *name, struct profile *ret, char **ret_text, char **ret_path, struct err *err)
{
	int r = load(name, NULL, ret, ret_text, ret_path, err);

	if (r != -ENOENT)
		return r;
	(void)err_set(err, -ENOENT, "there is no profile '%s'", name);
	return err_hint(err, -ENOENT, "'openshell profile list' shows what there is");
}

/* --- wrapping a command --- */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* 1: found; 0: there is none for the command. */
static int find_for(const char *command, struct profile *ret, struct err *err)
{
	auto_strv char **names = profiles_names();

	for (char **n = names; n && *n; n++) {
		struct profile p = { 0 };
		int r = load(*n, base_name(command), &p, NULL, NULL, err);

		/* A broken profile of another program is that program's affair. */
		if (r < 0 && !str_eq(*n, base_name(command)))
			continue;
		if (r < 0)
			return r;
		if (profile_is_for(&p, base_name(command))) {
			*ret = p;
			return 1;
		}
		profile_done(&p);
	}
	return 0;
}

/* Below the home directory, where it exists: "PLACE=PATH". */
static int add_home(char ***ret, char *const *places)
{
	const char *home = getenv("HOME");
	int r = 0;

	for (; home && home[0] == '/' && places && *places && r == 0; places++) {
		char path[PATH_MAX], pair[2 * PATH_MAX];
		auto_free char *real = NULL;

		if (!str_format(path, sizeof(path), "%s/%s", home, *places))
			return -ENAMETOOLONG;
		real = realpath(path, NULL);
		if (real && str_format(pair, sizeof(pair), "%s=%s", *places, real))
			r = strv_push(ret, pair);
	}
	return r;
}

static int add_protected(char ***ret, char *const *places)
{
	const char *home = getenv("HOME");
	auto_free char *real = home ? realpath(home, NULL) : NULL;
	int r = 0;

	for (; real && places && *places && r == 0; places++) {
		char path[PATH_MAX];

		if (str_format(path, sizeof(path), "%s/%s", real, *places))
			r = strv_push(ret, path);
	}
	return r;
}

static int fill_spec(struct sandbox_spec *spec, const struct profile *p, const struct agent *a)
{
	int r = strv_push_n(&spec->ro, a->ro, strv_len(a->ro));

	if (r == 0)
		r = strv_push_n(&spec->links, a->links, strv_len(a->links));
	if (r == 0)
		r = add_home(&spec->home, p->home_rw);
	if (r == 0)
		r = add_home(&spec->home_ro, p->home_ro);
	return r < 0 ? r : add_protected(&spec->protect, p->protect);
}

static int say(const struct sandbox_spec *spec, const struct profile *p, const struct agent *a)
{
	char homes[PATH_MAX] = "";
	size_t n = 0;

	for (char **h = spec->home; h && *h && n < sizeof(homes) - 256; h++)
		n += (size_t)snprintf(homes + n, sizeof(homes) - n, ", ~/%.*s",
			(int)(strcspn(*h, "=") > 200 ? 200 : strcspn(*h, "=")), *h);
	out_note("profile %s: %s (read-only)%s%s%s", p->name, a->install,
		spec->home ? homes : ", no settings of yours (none found)",
		p->not_granted ? "; not granted: " : "", p->not_granted ? p->not_granted : "");
	return 0;
}

static int wrap(
	struct sandbox_spec *spec, const struct profile *p, char **ret_policy, struct err *err)
{
	struct agent a = { 0 };
	int r = agent_find(&a, spec->command[0], spec->workdir, err);

	if (r == -ENOENT) {
		out_note("profile %s is not applied: '%s' is nowhere it is usually installed",
			p->name, spec->command[0]);
		return 0;
	}
	if (r < 0)
		return r == -ENOMEM ? err_set(err, r, "out of memory") : r;
	*ret_policy = profile_policy(p, a.exe, a.install);
	r = *ret_policy ? fill_spec(spec, p, &a) : -ENOMEM;
	if (r == 0)
		r = say(spec, p, &a);
	agent_done(&a);
	return r < 0 ? err_set(err, r, "profile %s: %s", p->name, err_name(r)) : 0;
}

int profiles_apply(struct sandbox_spec *spec, const char *name, char **ret_policy, char **ret_provider,
	struct err *err)
{
	struct profile p = { 0 };
	int r;

	*ret_policy = *ret_provider = NULL;
	if (!spec->command)
		return name ? err_set(err, -EINVAL, "--profile needs a command") : 0;
	r = name ? profiles_load(name, &p, NULL, NULL, err) : find_for(spec->command[0], &p, err);
	if (r < 0 || (!name && r == 0))
		return r;
	r = wrap(spec, &p, ret_policy, err);
	if (r == 0)
		*ret_provider = take_ptr(p.provider);
	profile_done(&p);
	return r;
}
