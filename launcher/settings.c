#include "launcher/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/jsontext.h"
#include "lib/fd.h"
#include "lib/str.h"

enum { SETTINGS_MAX = 64 * 1024 };

static const char file[] = "settings.json";
static const char proposals[] = "agent_policy_proposals_enabled";

const char *const settings_keys[] = { proposals, "ocsf_json_enabled", "proposal_approval_mode",
	"providers_v2_enabled", NULL };

static int parse_bool(const char *text, bool *ret)
{
	static const char *const yes[] = { "1", "true", "yes", "y", "on" };
	static const char *const no[] = { "0", "false", "no", "n", "off" };

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		if (str_case_eq(text, yes[i]) || str_case_eq(text, no[i])) {
			*ret = str_case_eq(text, yes[i]);
			return 0;
		}
	}
	return -EINVAL;
}

/* Without the blanks around it. */
static bool trimmed(const char *value, char *ret, size_t size)
{
	size_t n;

	value += strspn(value, " \t");
	n = strlen(value);
	while (n && (value[n - 1] == ' ' || value[n - 1] == '\t'))
		n--;
	return str_format(ret, size, "%.*s", (int)n, value);
}

static json_t *refuse(struct err *err, const char *fmt, const char *key, const char *value)
{
	(void)err_set(err, -EINVAL, fmt, key, value);
	return NULL;
}

static json_t *parse_mode(const char *key, const char *value, struct err *err)
{
	if (str_eq(value, "manual"))
		return json_string(value);
	if (str_eq(value, "auto"))
		return refuse(err,
			"%s '%s': what an agent proposes is approved by a person, or the "
			"agent would write its own policy",
			key, value);
	return refuse(err, "%s '%s': not one of manual, auto", key, value);
}

json_t *settings_parse(const char *key, const char *value, struct err *err)
{
	char text[64];
	bool on;

	if (str_eq(key, "proposal_approval_mode"))
		return parse_mode(key, value, err);
	if (!trimmed(value, text, sizeof(text)) || parse_bool(text, &on) < 0)
		return refuse(err, "%s '%s': not true or false", key, value);
	if (str_eq(key, "providers_v2_enabled") && on)
		return refuse(err, "%s '%s': a provider adds no rules to a policy here; write them",
			key, value);
	if (str_eq(key, "ocsf_json_enabled") && on)
		return refuse(err,
			"%s '%s': every log can be read as OCSF at any time: openshell logs "
			"--format json",
			key, value);
	return json_boolean(on);
}

/* --- storage --- */

static int open_scope(const struct state *s, struct err *err)
{
	if (s)
		return openat(s->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return state_config_open(err);
}

static json_t *read_scope(const struct state *s)
{
	struct err err = { 0 };
	auto_close int dir = open_scope(s, &err);
	auto_free char *text = NULL;
	json_t *j = NULL;
	size_t len;

	if (dir >= 0 && fd_slurp_at(dir, file, SETTINGS_MAX, &text, &len) == 0)
		j = jsontext_load(text, len, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(j))
		return j;
	json_decref(j);
	return json_object();
}

const json_t *settings_get(
	const struct state *s, const char *key, json_t **ret_holder, enum settings_scope *ret_scope)
{
	json_t *all = read_scope(NULL);
	enum settings_scope scope = SETTINGS_GLOBAL;
	const json_t *v = json_object_get(all, key);

	if (!v && s) {
		json_decref(all);
		all = read_scope(s);
		v = json_object_get(all, key);
		scope = SETTINGS_SANDBOX;
	}
	*ret_holder = all;
	*ret_scope = v ? scope : SETTINGS_DEFAULT;
	return v;
}

static int write_scope(int dir, const json_t *all)
{
	auto_free char *text = jsontext_dumps(all, JSON_COMPACT | JSON_SORT_KEYS);

	return text ? fd_replace_file(dir, file, text, strlen(text)) : -ENOMEM;
}

int settings_put(const struct state *s, const char *key, json_t *value)
{
	struct err err = { 0 };
	auto_close int dir = open_scope(s, &err);
	json_t *all;
	int r;

	if (dir < 0) {
		json_decref(value);
		return dir;
	}
	(void)flock(dir, LOCK_EX);
	all = read_scope(s);
	if (value)
		r = json_object_set_new(all, key, value) < 0 ? -ENOMEM : 0;
	else
		r = json_object_del(all, key) < 0 ? -ENOENT : 0;
	if (r == 0)
		r = write_scope(dir, all);
	json_decref(all);
	return r;
}

bool settings_agent_proposals(const struct state *s)
{
	enum settings_scope scope;
	json_t *holder = NULL;
	const json_t *v = settings_get(s, proposals, &holder, &scope); /* json_is_true() asks twice */
	bool on = json_is_true(v);

	json_decref(holder);
	return on;
}
