/* openshell settings: get, set, delete. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "launcher/cmd.h"
#include "launcher/ctl.h"
#include "launcher/out.h"
#include "launcher/sandbox.h"
#include "launcher/settings.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/proto.h"
#include "lib/str.h"
#include "lib/strv.h"

enum { ANSWER_MS = 10 * 1000 };

struct options {
	const char *key, *value;
	bool is_global, is_json, yes;
};

#define AT(field) offsetof(struct options, field)

const struct cli_option cmd_settings_get_options[] = {
	{ CLI_FLAG, "global", 0, AT(is_global), 0, NULL, "Those for all sandboxes" },
	{ CLI_FLAG, "json", 0, AT(is_json), 0, NULL, "As JSON" },
	{ CLI_END, NULL, 0, 0, 0, NULL, NULL },
};

const struct cli_option cmd_settings_set_options[] = {
	{ CLI_STR, "key", 0, AT(key), 0, "KEY", "The setting" },
	{ CLI_STR, "value", 0, AT(value), 0, "VALUE", "Its value" },
	{ CLI_FLAG, "global", 0, AT(is_global), 0, NULL, "For all sandboxes" },
	{ CLI_FLAG, "yes", 0, AT(yes), 0, NULL, "Accepted for scripts: nothing is asked" },
	{ CLI_END, NULL, 0, 0, 0, NULL, NULL },
};

const struct cli_option cmd_settings_delete_options[] = {
	{ CLI_STR, "key", 0, AT(key), 0, "KEY", "The setting" },
	{ CLI_FLAG, "global", 0, AT(is_global), 0, NULL, "That for all sandboxes" },
	{ CLI_FLAG, "yes", 0, AT(yes), 0, NULL, "Accepted for scripts: nothing is asked" },
	{ CLI_END, NULL, 0, 0, 0, NULL, NULL },
};

static const char *const scope_names[] = { "default", "sandbox", "global" };

static int check_key(const char *key)
{
	auto_buf struct buf list;

	buf_init(&list, 4096);
	if (!key)
		return cli_usage_error("--key is missing");
	for (size_t i = 0; settings_keys[i]; i++) {
		if (str_eq(settings_keys[i], key))
			return -1;
		(void)buf_printf(&list, "%s%s", i ? ", " : "", settings_keys[i]);
	}
	return out_error(CLI_FAILED, "unknown setting key '%s'. Allowed keys: %s", key,
		buf_cstr(&list) ? buf_cstr(&list) : "");
}

/* Which sandbox, unless it is about all of them: -1 to go on. */
static int open_scope(const struct options *o, const struct cli_args *a, struct state **ret)
{
	*ret = NULL;
	if (!o->is_global)
		return sandbox_open(a->pos[0], ret);
	return a->n_pos ? cli_usage_error("--global is about all sandboxes: name none") : -1;
}

/* A default reads as upstream's. */
static json_t *value_or_default(const char *key, const json_t *v)
{
	if (v)
		return json_deep_copy(v);
	return str_eq(key, "proposal_approval_mode") ? json_string("manual") : json_false();
}

static json_t *all_settings(const struct state *s)
{
	json_t *all = json_object();

	for (size_t i = 0; settings_keys[i]; i++) {
		enum settings_scope scope;
		json_t *holder = NULL;
		const json_t *v = settings_get(s, settings_keys[i], &holder, &scope);

		json_object_set_new(all, settings_keys[i],
			json_pack("{s:o, s:s}", "value", value_or_default(settings_keys[i], v),
				"scope", scope_names[scope]));
		json_decref(holder);
	}
	return all;
}

int cmd_settings_get(const struct cli_command *cmd, int argc, char **argv)
{
	struct options o = { 0 };
	auto_state struct state *s = NULL;
	const char *key;
	struct cli_args a;
	json_t *all, *one;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r < 0)
		r = open_scope(&o, &a, &s);
	if (r >= 0)
		return r;
	all = all_settings(s);
	if (o.is_json)
		return out_json(all, OUT_JSON);
	json_object_foreach (all, key, one) {
		const json_t *v = json_object_get(one, "value");

		printf("%-32s  %-8s  %s\n", key,
			json_is_string(v) ? json_string_value(v)
			: json_is_true(v) ? "true"
					  : "false",
			json_string_value(json_object_get(one, "scope")));
	}
	json_decref(all);
	return CLI_OK;
}

/* --- what a running sandbox is told --- */

static int tell_one(const char *name, bool on, struct err *err)
{
	auto_msg_in struct msg_in answer = { 0 };
	auto_msg_out struct msg_out m;
	auto_close int sock = state_control_connect(name, err);
	int r;

	msg_out_init(&m, CTL_SETTING, 0);
	msg_put_u32(&m, on);
	if (sock < 0)
		return sock;
	r = ctl_send(sock, &m, err);
	return r < 0 ? r : ctl_wait(sock, CTL_DONE, ANSWER_MS, &answer, NULL, err);
}

/* Running sandboxes that the change is about. */
static void tell(const struct state *only)
{
	auto_strv char **names = NULL;
	struct err err = { 0 };
	bool on_without_file = false;

	if (only && strv_push(&names, only->name) < 0)
		return;
	if (!only && state_list(&names, &err) < 0)
		return;
	for (char **n = names; n && *n; n++) {
		auto_state struct state *s = NULL;
		bool on;

		if (state_open(&s, *n, &err) < 0 || !state_is_running(s))
			continue;
		on = settings_agent_proposals(s);
		if (tell_one(*n, on, &err) < 0)
			(void)out_error(CLI_FAILED, "sandbox '%s': %s", *n, err.text);
		on_without_file = on_without_file || on;
	}
	if (on_without_file)
		out_note("sandboxes that run already serve http://policy.local now; the skill file "
			 "is "
			 "there from their next start on");
}

/* --- changing --- */

static int check_scope(const struct state *s, const char *key)
{
	enum settings_scope scope;
	json_t *holder = NULL;

	(void)settings_get(NULL, key, &holder, &scope);
	json_decref(holder);
	if (!s || scope != SETTINGS_GLOBAL)
		return -1;
	return out_error(CLI_FAILED,
		"setting '%s' is managed globally; delete the global setting before that of a "
		"sandbox",
		key);
}

static int change(const struct options *o, const struct state *s, json_t *value)
{
	bool is_set = value != NULL;
	int r = settings_put(s, o->key, value);

	if (r == -ENOENT)
		return out_error(CLI_FAILED, "setting '%s' is not set", o->key);
	if (r < 0)
		return out_error(CLI_FAILED, "setting '%s': %s", o->key, err_name(r));
	out_done("%s setting %s%s%s", is_set ? "Set" : "Deleted", o->key,
		s ? " of sandbox " : " for all sandboxes", s ? s->name : "");
	if (str_eq(o->key, "agent_policy_proposals_enabled"))
		tell(s);
	return CLI_OK;
}

int cmd_settings_set(const struct cli_command *cmd, int argc, char **argv)
{
	struct options o = { 0 };
	auto_state struct state *s = NULL;
	struct err err = { 0 };
	json_t *value;
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r < 0)
		r = check_key(o.key);
	if (r < 0 && !o.value)
		r = cli_usage_error("--value is missing");
	if (r < 0)
		r = open_scope(&o, &a, &s);
	if (r < 0)
		r = check_scope(s, o.key);
	if (r >= 0)
		return r;
	value = settings_parse(o.key, o.value, &err);
	return value ? change(&o, s, value) : out_fail(CLI_FAILED, &err);
}

int cmd_settings_delete(const struct cli_command *cmd, int argc, char **argv)
{
	struct options o = { 0 };
	auto_state struct state *s = NULL;
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r < 0)
		r = check_key(o.key);
	if (r < 0)
		r = open_scope(&o, &a, &s);
	if (r < 0)
		r = check_scope(s, o.key);
	return r < 0 ? change(&o, s, NULL) : r;
}
