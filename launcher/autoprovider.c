#include "launcher/autoprovider.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/out.h"
#include "launcher/provider.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/str.h"
#include "lib/strv.h"

/* The first of @names that is a provider of @type. */
static const char *first_of_type(char *const *names, const char *type)
{
	for (; names && *names; names++) {
		struct err ignored = { 0 };
		json_t *p = provider_load(*names, &ignored);
		const char *its = json_string_value(json_object_get(p, "type"));
		bool is = its && str_eq(its, type);

		provider_free(p);
		if (is)
			return *names;
	}
	return NULL;
}

static bool is_set_by(char *const *env, const char *key)
{
	size_t n = strlen(key);

	for (; env && *env; env++)
		if (strncmp(*env, key, n) == 0 && (*env)[n] == '=')
			return true;
	return false;
}

static bool is_any_set_by(char *const *env, char *const *keys)
{
	for (; keys && *keys; keys++)
		if (is_set_by(env, *keys))
			return true;
	return false;
}

/* Those of @keys that our environment has, as text; NULL when there is none. The caller frees. */
static char *names_here(char *const *keys)
{
	auto_buf struct buf text;

	buf_init(&text, PROVIDER_KEYS_MAX * (SPEC_ENV_KEY_MAX + 2));
	for (; keys && *keys; keys++)
		if (getenv(*keys) && getenv(*keys)[0])
			(void)buf_printf(&text, "%s%s", text.len ? ", " : "", *keys);
	return text.len ? strdup(buf_cstr(&text)) : NULL;
}

/* A name that no provider has: @type, else with a number behind it. */
static bool free_name(char *ret, size_t size, const char *type, char *const *taken)
{
	if (!str_copy(ret, size, type))
		return false;
	for (int i = 2; strv_has(taken, ret); i++)
		if (!str_format(ret, size, "%s-%d", type, i))
			return false;
	return true;
}

static int make(char *name, size_t size, const struct provider_profile *type, char *const *taken, struct err *err)
{
	json_t *p = free_name(name, size, type->name, taken) && provider_name_check(name, err) == 0 ?
			    provider_new(name, type->name) :
			    NULL;
	int r = p ? provider_take_existing(p, type, err) : -EINVAL;

	if (r == 0)
		r = provider_save(name, p, err);
	provider_free(p);
	if (r == 0)
		out_done("Created provider %s", name);
	return r;
}

/* Enter is yes. Signals act while we wait: the launcher has blocked them for the session that is to come. */
static bool is_wanted(const char *keys, const char *type, const char *command)
{
	char line[64] = "";
	sigset_t none, before;
	ssize_t n;

	(void)sigemptyset(&none);
	(void)fprintf(stderr, "%s can use %s without seeing it. Keep it as provider '%s'? [Y/n] ", command, keys, type);
	(void)sigprocmask(SIG_SETMASK, &none, &before);
	n = read(STDIN_FILENO, line, sizeof(line) - 1);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return n > 0 && (line[0] == '\n' || line[0] == 'y' || line[0] == 'Y');
}

static int attach(struct sandbox_spec *spec, const char *name)
{
	out_note("provider %s: its credentials are used in the sandbox and not seen there", name);
	return strv_push(&spec->providers, name);
}

static int make_if_wanted(struct sandbox_spec *spec, const struct provider_profile *type, char *const *taken,
	enum autoprovider how, struct err *err)
{
	auto_free char *keys = names_here(type->keys);
	const char *command = spec->command[0];
	char name[PROVIDER_NAME_MAX + 1];
	int r;

	if (!keys && how == AUTOPROVIDER_MAKE)
		out_note("no provider: none of the variables of type '%s' is set", type->name);
	if (!keys)
		return 0;
	if (how == AUTOPROVIDER_ASK && !(isatty(STDIN_FILENO) && isatty(STDERR_FILENO))) {
		out_note("%s is not given to the sandbox; with --auto-providers it is used there and not seen", keys);
		return 0;
	}
	if (how == AUTOPROVIDER_ASK && !is_wanted(keys, type->name, command))
		return 0;
	r = make(name, sizeof(name), type, taken, err);
	return r < 0 ? r : attach(spec, name);
}

int autoprovider_add(struct sandbox_spec *spec, const char *type, enum autoprovider how, struct err *err)
{
	auto_provider_profile struct provider_profile profile = { 0 };
	auto_strv char **names = NULL;
	const char *there;
	int r;

	if (how == AUTOPROVIDER_NEVER || first_of_type(spec->providers, type))
		return 0;
	r = provider_profile_load(type, &profile, err);
	if (r < 0 || is_any_set_by(spec->env, profile.keys))
		return r;
	names = provider_names();
	there = first_of_type(names, type);
	r = there ? attach(spec, there) : make_if_wanted(spec, &profile, names, how, err);
	return r < 0 && !err->text[0] ? err_set(err, r, "provider: %s", err_name(r)) : r;
}
