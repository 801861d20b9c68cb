#include "launcher/policysubmit.h"

#include <errno.h>
#include <stdio.h>

#include "launcher/cli.h"
#include "launcher/ctl.h"
#include "launcher/out.h"
#include "launcher/sandbox.h"
#include "lib/cleanup.h"
#include "lib/policy_static.h"
#include "lib/proto.h"
#include "lib/str.h"

enum { HASH_SHOWN = 12, ANSWER_MS = 60000 };

static int read_answer(struct msg_in *m, struct policy_answer *ret, struct err *err)
{
	struct policy_answer a = { .version = msg_get_u32(m), .active = msg_get_u32(m) };
	const char *hash, *note;

	a.is_changed = msg_get_u32(m) != 0;
	hash = msg_get_str(m);
	note = msg_get_str(m);
	if (!msg_in_done(m) || !hash || !str_copy(a.hash, sizeof(a.hash), hash))
		return err_set(err, -EPROTO, "the supervisor answered nonsense");
	(void)snprintf(a.note, sizeof(a.note), "%s", note ? note : "");
	*ret = a;
	return 0;
}

static int send_and_wait(const char *name, const char *yaml, const char *origin, int timeout_ms,
	struct policy_answer *ret, int *ret_status, struct err *err)
{
	auto_close int sock = state_control_connect(name, err);
	auto_msg_out struct msg_out m;
	auto_msg_in struct msg_in answer = { 0 };
	int r;

	msg_out_init(&m, CTL_POLICY_SET, 0);
	if (sock < 0)
		return sock;
	msg_put_str(&m, yaml);
	msg_put_str(&m, origin);
	r = ctl_send(sock, &m, err);
	if (r < 0)
		return r;
	r = ctl_wait(sock, CTL_POLICY_DONE, timeout_ms, &answer, ret_status, err);
	return r < 0 ? r : read_answer(&answer, ret, err);
}

/* A revision is whole: `sandbox start` builds the sandbox from the last one. */
int policy_send(const struct state *s, const char *yaml, const char *origin, int timeout_ms,
	struct policy_answer *ret, int *ret_status, struct err *err)
{
	auto_free char *live = NULL, *completed = NULL;
	struct state_revision rev;
	int r;

	if (sandbox_policy(s, 0, &rev, &live, NULL) == 0) {
		r = policy_static_complete(live, yaml, &completed, err);
		if (r < 0)
			return r;
	}
	return send_and_wait(
		s->name, completed ? completed : yaml, origin, timeout_ms, ret, ret_status, err);
}

/* Who it is that does not answer. */
static void explain_timeout(const char *name)
{
	struct sandbox_info i = { 0 };
	struct err err;

	if (sandbox_info_load(&i, name, &err) == 0 && str_eq(i.phase, "Ready"))
		out_hint("its proxy has not confirmed it, and nothing new gets out until it does; 'openshell sandbox "
			 "stop %s' ends it", name);
	else
		out_hint("its supervisor does not answer; 'openshell sandbox stop %s' ends it", name);
	sandbox_info_done(&i);
}

int policy_report(const struct state *s, int r, int status, const struct policy_answer *a,
	bool waited, const struct err *err)
{
	if (r == -ETIME) {
		out_mark("✗", "Timeout waiting for the policy of sandbox '%s' to load", s->name);
		explain_timeout(s->name);
		return CLI_TIMEOUT;
	}
	if (r < 0)
		return out_fail(status, err);
	if (!a->is_changed)
		out_mark("·", "Policy unchanged (version %u, hash: %.*s)", a->version, HASH_SHOWN,
			a->hash);
	else
		out_done("Policy version %u submitted (hash: %.*s)", a->version, HASH_SHOWN,
			a->hash);
	if (a->is_changed && waited && a->active == a->version)
		out_done("Policy version %u loaded (active version: %u)", a->version, a->active);
	else if (a->is_changed && waited)
		out_mark("⚠", "Policy version %u was superseded (active version: %u)", a->version,
			a->active);
	if (a->note[0])
		out_note("%s", a->note);
	return CLI_OK;
}

int policy_submit(const struct state *s, const char *yaml, const char *origin, bool wait,
	unsigned int timeout_s)
{
	struct policy_answer answer = { 0 };
	struct err err = { 0 };
	int status = CLI_FAILED;
	int r = policy_send(
		s, yaml, origin, wait ? (int)timeout_s * 1000 : ANSWER_MS, &answer, &status, &err);

	return policy_report(s, r, status, &answer, wait, &err);
}
