#include "launcher/sandbox.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launcher/cli.h"
#include "launcher/ctl.h"
#include "launcher/out.h"
#include "lib/arena.h"
#include "lib/cleanup.h"
#include "lib/jsontext.h"
#include "lib/policy.h"
#include "lib/proto.h"
#include "lib/str.h"
#include "lib/yaml.h"

enum { POLICY_ARENA_MAX = 512 * 1024 * 1024, STATUS_MS = 500 };

int sandbox_name(const char *given, char ret[STATE_NAME_MAX + 1])
{
	struct err err = { 0 };

	if (given) {
		if (state_name_check(given, &err) < 0)
			return out_error(CLI_FAILED, "'%s': %s", given, err.text);
		(void)str_copy(ret, STATE_NAME_MAX + 1, given);
		return -1;
	}
	if (!state_last_used(ret)) {
		(void)out_error(
			CLI_FAILED, "No sandbox name provided and no last-used sandbox is known");
		out_hint("'openshell sandbox list' shows what there is");
		return CLI_FAILED;
	}
	out_mark("→", "Using sandbox '%s' (last used)", ret);
	return -1;
}

static void on_cleaned(const char *name, bool kept, void *arg)
{
	(void)arg;
	if (kept)
		out_note("the supervisor of sandbox '%s' had died; cleaned up "
			 "('openshell sandbox start %s' starts it again)",
			name, name);
	else
		out_note("removed sandbox '%s', whose supervisor had died", name);
}

void sandbox_sweep(void)
{
	state_sweep(on_cleaned, NULL);
}

int sandbox_open(const char *given, struct state **ret)
{
	char name[STATE_NAME_MAX + 1];
	struct err err = { 0 };
	int r = sandbox_name(given, name);

	if (r >= 0)
		return r;
	sandbox_sweep();
	return state_open(ret, name, &err) < 0 ? out_fail(CLI_FAILED, &err) : -1;
}

int sandbox_reach(const char *given, char name[STATE_NAME_MAX + 1], int *ret_sock)
{
	struct err err = { 0 };
	int r = sandbox_name(given, name);

	if (r >= 0)
		return r;
	*ret_sock = state_control_connect(name, &err);
	if (*ret_sock < 0) {
		sandbox_sweep();
		return out_fail(CLI_FAILED, &err);
	}
	return -1;
}

/* --- what is known of one --- */

void sandbox_info_done(struct sandbox_info *i)
{
	spec_done(&i->spec);
}

/* The phase that a supervisor's answer names, as one of our constants. */
static const char *phase_parse(const char *given)
{
	static const char *const known[] = { "Ready", "Starting", "Stopping", "Error" };

	for (size_t i = 0; given && i < ARRAY_SIZE(known); i++)
		if (str_eq(given, known[i]))
			return known[i];
	return "Unknown";
}

/* The same with the backend; NULL for none. */
static const char *intercept_parse(const char *given)
{
	enum spec_intercept i;

	return given && spec_intercept_parse(given, &i) == 0 ? spec_intercept_name(i) : NULL;
}

int sandbox_supervisor(const struct state *s)
{
	int pid = state_pid_read(s->dir, "lock"), fd;

	if (pid < 0)
		return pid;
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	/* Only now: while the lock is held its owner lives, and so the number is not another's. */
	if (fd >= 0 && !state_is_running(s)) {
		(void)close(fd);
		return -ESRCH;
	}
	return fd < 0 ? -errno : fd;
}

/* "Error": it runs, but its proxy is dead and nothing gets out. NULL: nobody answered. */
static const char *ask(const char *name, const char **ret_intercept)
{
	auto_close int sock = state_control_connect(name, NULL);
	auto_msg_in struct msg_in m = { 0 };
	const char *text, *phase;
	json_t *o;

	if (sock < 0 || msg_send_empty(sock, CTL_STATUS, 0) < 0 ||
		ctl_wait(sock, CTL_TEXT, STATUS_MS, &m, NULL, NULL) < 0)
		return NULL;
	text = msg_get_str(&m);
	o = text ? jsontext_load(text, strlen(text), 0, NULL) : NULL;
	phase = phase_parse(json_string_value(json_object_get(o, "phase")));
	*ret_intercept = intercept_parse(json_string_value(json_object_get(o, "intercept")));
	json_decref(o);
	return phase;
}

/* One that does not answer is most likely about to end: then it is waited for. */
static const char *find_phase(const struct state *s, const char **ret_intercept)
{
	const char *phase = state_is_running(s) ? ask(s->name, ret_intercept) : "Stopped";
	auto_close int supervisor = phase ? -1 : sandbox_supervisor(s);
	struct pollfd p = { .fd = supervisor, .events = POLLIN };

	if (phase)
		return phase;
	if (supervisor >= 0)
		(void)poll(&p, 1, STATUS_MS);
	return state_is_running(s) ? "Unknown" : "Stopped";
}

int sandbox_info_load(struct sandbox_info *ret, const char *name, struct err *err)
{
	auto_state struct state *s = NULL;
	int r;

	r = state_open(&s, name, err);
	if (r < 0)
		return r;
	r = state_load_spec(s, &ret->spec, err);
	if (r < 0)
		return r;
	ret->phase = find_phase(s, &ret->intercept);
	if (!ret->spec.keep && str_eq(ret->phase, "Stopped"))
		return err_set(err, -ENOENT, "sandbox '%s' not found", name);
	ret->policy_version = state_revision_last(s);
	return 0;
}

static json_t *labels_json(char *const *labels)
{
	json_t *o = json_object();

	for (size_t i = 0; labels && labels[i]; i++) {
		const char *eq = strchr(labels[i], '=');
		auto_free char *key = eq ? strndup(labels[i], (size_t)(eq - labels[i])) : NULL;

		if (key)
			(void)json_object_set_new(o, key, json_string(eq + 1));
	}
	return o;
}

json_t *sandbox_info_json(const struct sandbox_info *i)
{
	char created[24];

	out_time(created, i->spec.created_ms);
	return json_pack("{s:s?, s:s, s:s, s:o, s:{}, s:i, s:s, s:I, s:s, s:i, s:b, s:b, s:s?}", "id",
		i->spec.id, "name", i->spec.name, "workspace", "default", "labels",
		labels_json(i->spec.labels), "annotations", "resource_version", 1, "created_at",
		created, "created_at_ms", (json_int_t)i->spec.created_ms, "phase", i->phase,
		"current_policy_version", (int)i->policy_version, "keep", i->spec.keep, "audit",
		i->spec.audit, "intercept", i->intercept);
}

/* --- its policy --- */

int sandbox_policy(const struct state *s, uint32_t version, struct state_revision *ret,
	char **ret_yaml, struct err *err)
{
	uint32_t v = version ? version : state_revision_last(s);
	size_t len;
	int r;

	r = v ? state_revision_read(s, v, ret, ret_yaml, &len) : -ENOENT;
	if (r == -ENOENT && version)
		return err_set(err, r, "sandbox '%s' has no policy version %u", s->name, version);
	if (r == -ENOENT)
		return err_set(err, r, "sandbox '%s' has no recorded policy", s->name);
	if (r < 0)
		return err_set(
			err, r, "cannot read the policy of sandbox '%s': %s", s->name, err_name(r));
	return 0;
}

static json_t *scalar_json(const struct yaml_node *n)
{
	switch (yaml_kind(n)) {
	case YAML_NULL:
		return json_null();
	case YAML_BOOL:
		return json_boolean(n->text[0] == 't' || n->text[0] == 'T');
	case YAML_INTEGER:
		return json_integer(strtoll(n->text, NULL, 0));
	case YAML_FLOAT:
		return json_real(strtod(n->text, NULL));
	case YAML_STRING:
		break;
	}
	return json_string(n->text);
}

/* As deep as YAML_DEPTH_MAX lets a document be. */
static json_t *node_json(const struct yaml_node *n)
{
	json_t *v;

	if (n->type == YAML_SCALAR)
		return scalar_json(n);
	v = n->type == YAML_LIST ? json_array() : json_object();
	for (uint32_t i = 0; i < n->n; i++) {
		if (n->type == YAML_LIST)
			(void)json_array_append_new(v, node_json(n->list[i]));
		else
			(void)json_object_set_new(
				v, n->map[i].key->text, node_json(n->map[i].value));
	}
	return v;
}

/* It was validated when it was accepted. */
static void on_yaml_error(void *opaque, struct yaml_pos pos, const char *text)
{
	(void)opaque;
	(void)pos;
	(void)text;
}

json_t *sandbox_policy_json(const char *yaml)
{
	const struct yaml_node *root = NULL;
	auto_arena struct arena arena;

	arena_init(&arena, POLICY_ARENA_MAX);
	if (yaml_load(&arena, yaml, strlen(yaml), on_yaml_error, NULL, &root) < 0 || !root)
		return json_null();
	return node_json(root);
}
