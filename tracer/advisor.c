#include "tracer/advisor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/proto.h"
#include "lib/str.h"
#include "lib/strv.h"
#include "tracer/control.h"
#include "tracer/sandbox.h"

enum { MINUTE_MS = 60 * 1000, SEGMENTS_SHOWN = 2 };

static struct inbox *inbox(struct sandbox *s)
{
	struct advisor *a = &s->advisor;

	if (a->is_loaded)
		return &a->inbox;
	a->is_loaded = true;
	inbox_init(&a->inbox);
	if (inbox_load(&a->inbox, s->state->dir) < 0) {
		inbox_done(&a->inbox);
		a->is_broken = true;
		sandbox_say(s, EVENT_ERROR,
			"agent-proposals.json cannot be read: nothing can be proposed");
	}
	return &a->inbox;
}

static void told(
	struct sandbox *s, uint32_t request, int r, char *const *args, const int *fds, size_t n_fds)
{
	auto_msg_out struct msg_out m;

	msg_out_init(&m, PROXY_TOLD, request);
	msg_put_u32(&m, (uint32_t)-r);
	msg_put_strv(&m, args);
	for (size_t i = 0; i < n_fds; i++)
		msg_put_fd(&m, fds[i]);
	/* A proxy that cannot take it answers its client by its own deadline. */
	(void)msg_send(s->proxy_link.fd, &m);
}

static void told_error(struct sandbox *s, uint32_t request, int r)
{
	told(s, request, r, NULL, NULL, 0);
}

static void tell_policy(struct sandbox *s, uint32_t request)
{
	auto_free char *yaml = NULL;
	struct state_revision rev;
	char *args[] = { NULL, NULL };

	/* An unkept sandbox records its first revision a moment after it started. */
	if (state_revision_read(s->state, s->revision, &rev, &yaml, NULL) < 0 && s->policy_yaml)
		yaml = strdup(s->policy_yaml);
	args[0] = yaml;
	told(s, request, yaml ? 0 : -ENOENT, args, NULL, 0);
}

static void tell_log(struct sandbox *s, uint32_t request)
{
	int fds[SEGMENTS_SHOWN];
	size_t n;

	(void)log_flush(s->log);
	n = logstore_open_newest(s->store, fds, SEGMENTS_SHOWN);
	told(s, request, 0, NULL, fds, n);
	while (n > 0)
		(void)close(fds[--n]);
}

static void tell_item(struct sandbox *s, uint32_t request, const struct inbox_item *i)
{
	char *args[] = { (char *)inbox_status_name(i->status), i->reason, i->rule_name, i->binary,
		NULL };

	told(s, request, 0, args, NULL, 0);
}

static void tell_status(struct sandbox *s, uint32_t request, const char *id, bool is_waiting)
{
	struct inbox_item *i = id ? inbox_find(inbox(s), id) : NULL;
	struct advisor *a = &s->advisor;
	struct advisor_wait *w;

	if (!i) {
		told_error(s, request, -ENOENT);
	} else if (!is_waiting || i->status != INBOX_PENDING) {
		tell_item(s, request, i);
	} else {
		/* Who has waited longest has most likely gone: it is told how things are, and asks
		 * again. */
		if (a->n_waits == ADVISOR_WAITS_MAX) {
			tell_status(s, a->waits[0].request, a->waits[0].id, false);
			memmove(a->waits, a->waits + 1, --a->n_waits * sizeof(*a->waits));
		}
		w = &a->waits[a->n_waits++];
		w->request = request;
		(void)str_copy(w->id, sizeof(w->id), i->id);
	}
}

/* Everybody who waited for @id (NULL: for anything) hears of it. */
static void wake(struct sandbox *s, const char *id)
{
	struct advisor *a = &s->advisor;
	unsigned int kept = 0;

	for (unsigned int n = 0; n < a->n_waits; n++) {
		const struct advisor_wait w = a->waits[n];

		if (id && !str_eq(w.id, id))
			a->waits[kept++] = w;
		else
			tell_status(s, w.request, w.id, false);
	}
	a->n_waits = kept;
}

/* --- proposing --- */

static bool is_too_fast(struct advisor *a, uint64_t now_ms)
{
	if (now_ms - a->minute_ms >= MINUTE_MS) {
		a->minute_ms = now_ms;
		a->n_minute = 0;
	}
	return a->n_minute++ >= ADVISOR_PER_MINUTE;
}

static int propose_one(struct sandbox *s, char *const *args, const char *intent, char ***ret_ids)
{
	struct inbox_item *i = NULL;
	int r = inbox_add(inbox(s), args[0], args[1], intent, args[2], event_now_ms(), &i);

	if (r < 0)
		return r;
	if (i->hits == 1)
		sandbox_log(s, &(struct event){ .level = EVENT_INFO,
				       .adapter = EVENT_POLICY,
				       .message = "an agent proposed a rule",
				       .reason = i->id,
				       .binary = i->binary,
				       .policy = i->rule_name });
	return strv_push(ret_ids, i->id);
}

static void propose(struct sandbox *s, uint32_t request, char *const *args, size_t n)
{
	auto_strv char **ids = NULL;
	int r = 0;

	(void)inbox(s);
	if (!s->agent_proposals || s->advisor.is_broken)
		r = -EPERM;
	else if (n < 4 || (n - 1) % 3)
		r = -EPROTO;
	else if (is_too_fast(&s->advisor, event_now_ms()))
		r = -EAGAIN;
	for (size_t i = 1; i < n && r == 0; i += 3)
		r = propose_one(s, args + i, args[0], &ids);
	if (r == 0)
		r = inbox_save(inbox(s), s->state->dir);
	/* The names of those that were accepted before one was not are of use only together. */
	told(s, request, r, r == 0 ? ids : NULL, NULL, 0);
}

void advisor_ask(struct sandbox *s, struct msg_in *m)
{
	uint32_t kind = msg_get_u32(m);
	auto_free char **args = msg_get_strv(m);
	const char *first = args ? args[0] : NULL;

	if (!msg_in_done(m) || !args)
		return;
	switch (kind) {
	case PROXY_ASK_POLICY:
		tell_policy(s, m->id);
		break;
	case PROXY_ASK_DENIALS:
		tell_log(s, m->id);
		break;
	case PROXY_ASK_PROPOSE:
		propose(s, m->id, args, strv_len(args));
		break;
	case PROXY_ASK_STATUS:
	case PROXY_ASK_WAIT:
		tell_status(s, m->id, first, kind == PROXY_ASK_WAIT);
		break;
	default:
		told_error(s, m->id, -ENOSYS);
	}
}

/* --- deciding: from outside --- */

static int decide(struct sandbox *s, const char *id, const char *status, const char *reason)
{
	struct inbox_item *i = inbox_find(inbox(s), id);
	enum inbox_status is;
	int r = i ? inbox_status_parse(status, &is) : -ENOENT;

	if (r == 0)
		r = inbox_decide(inbox(s), i, is, reason ? reason : "", event_now_ms());
	if (r < 0)
		return r;
	sandbox_log(s, &(struct event){ .level = EVENT_INFO,
			       .adapter = EVENT_POLICY,
			       .message = is == INBOX_APPROVED ? "an agent's rule was approved"
							       : "an agent's rule was rejected",
			       .reason = i->id,
			       .binary = i->binary,
			       .policy = i->rule_name });
	return 0;
}

void advisor_decide(struct sandbox *s, struct control *c, struct msg_in *m)
{
	const char *id = msg_get_str(m), *status = msg_get_str(m), *reason = msg_get_str(m);
	auto_msg_out struct msg_out done = { 0 };
	int r = 0;

	if (!msg_in_done(m) || (id && !status)) {
		control_failed(c, m->id, -EPROTO, 1, NULL, "malformed request");
		return;
	}
	if (id)
		r = decide(s, id, status, reason);
	else
		inbox_clear(inbox(s));
	if (r == 0)
		r = s->advisor.is_broken ? -EIO : inbox_save(inbox(s), s->state->dir);
	if (r < 0) {
		control_failed(c, m->id, r, 1, NULL, "proposal '%s': %s", id ? id : "all",
			r == -ENOENT	 ? "no such proposal"
			: r == -EALREADY ? "it was answered already"
					 : err_name(r));
		return;
	}
	wake(s, id);
	msg_out_init(&done, CTL_DONE, m->id);
	control_send(c, &done);
}

/* --- the setting --- */

int advisor_tell(struct sandbox *s)
{
	auto_msg_out struct msg_out m;

	msg_out_init(&m, PROXY_ADVISOR, 0);
	msg_put_u32(&m, s->agent_proposals);
	return msg_send(s->proxy_link.fd, &m);
}

void advisor_setting(struct sandbox *s, struct control *c, struct msg_in *m)
{
	uint32_t on = msg_get_u32(m);
	auto_msg_out struct msg_out done = { 0 };
	int r = 0;

	if (!msg_in_done(m)) {
		control_failed(c, m->id, -EPROTO, 1, NULL, "malformed request");
		return;
	}
	s->agent_proposals = on != 0;
	if (s->proxy.pid)
		r = advisor_tell(s);
	if (r < 0) {
		control_failed(c, m->id, r, 1, NULL, "telling the proxy: %s", err_name(r));
		return;
	}
	sandbox_say(s, EVENT_INFO, "agents inside may %spropose rules", on ? "" : "no longer ");
	msg_out_init(&done, CTL_DONE, m->id);
	control_send(c, &done);
}

void advisor_done(struct advisor *a)
{
	if (a->is_loaded)
		inbox_done(&a->inbox);
	*a = (struct advisor){ 0 };
}
