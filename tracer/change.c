#include "tracer/change.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/cleanup.h"
#include "lib/policy_resolve.h"
#include "lib/proto.h"
#include "lib/str.h"
#include "tracer/control.h"
#include "tracer/filehash.h"
#include "tracer/sandbox.h"

enum { NOTE_MAX = 512 };

struct policy_change {
	struct control *control; /* NULL: gone */
	uint32_t request;
	struct state_revision revision;
	char note[NOTE_MAX];
	LIST_ENTRY(policy_change) link;
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static int load_text(const char *yaml, struct policy **ret, struct err *err)
{
	struct policy_findings findings = { 0 };
	int r = policy_load(yaml, strlen(yaml), ret, &findings);

	if (r == -ENOMEM)
		(void)err_set(err, r, "policy: the supervisor has not enough memory for it");
	else if (r < 0)
		policy_findings_to_err(&findings, "policy", err);
	policy_findings_done(&findings);
	return r;
}

/* Errors are told in the places of what was written; what decides also knows where links lead. */
static int load(const char *yaml, struct policy **ret, struct err *err)
{
	auto_free char *resolved = NULL;
	struct policy *p = NULL;
	int r = load_text(yaml, &p, err);

	if (r < 0)
		return r;
	r = policy_resolve_binaries(yaml, strlen(yaml), &resolved);
	if (r == 0 && !str_eq(yaml, resolved)) {
		policy_unref(take_ptr(p));
		r = load_text(resolved, &p, err);
	}
	if (r < 0) {
		policy_unref(p);
		return r;
	}
	*ret = p;
	return 0;
}

int change_first(struct sandbox *s, const char *yaml, bool is_new, struct err *err)
{
	struct state_revision last = { 0 };
	uint32_t n = is_new ? 0 : state_revision_last(s->state);

	s->revision = n ? n : 1;
	if (n && state_revision_read(s->state, n, &last, &s->policy_yaml, NULL) < 0)
		return err_set(err, -EIO, "policy revision %u cannot be read", n);
	if (!n)
		s->policy_yaml = strdup(yaml ? yaml : policy_default_yaml);
	if (!s->policy_yaml)
		return -ENOMEM;
	(void)str_copy(s->policy_hash, sizeof(s->policy_hash), last.hash);
	return load(s->policy_yaml, &s->policy, err);
}

static void fill_revision(struct state_revision *rev, uint32_t version, const char *yaml,
	const char *origin, const char *status)
{
	*rev = (struct state_revision){ .version = version, .created_ms = now_ms() };
	filehash_bytes(yaml, strlen(yaml), rev->hash);
	(void)str_copy(rev->origin, sizeof(rev->origin), origin);
	(void)str_copy(rev->status, sizeof(rev->status), status);
}

int change_record_first(struct sandbox *s, struct err *err)
{
	struct state_revision rev;
	int r;

	if (s->policy_hash[0])
		return 0;
	fill_revision(&rev, s->revision, s->policy_yaml, "create", "loaded");
	(void)str_copy(s->policy_hash, sizeof(s->policy_hash), rev.hash);
	r = state_revision_write(s->state, &rev, s->policy_yaml, strlen(s->policy_yaml));
	return r < 0 ? err_set(err, r, "policy revision 1: %s", err_name(r)) : 0;
}

static int send_policy(struct sandbox *s, const char *yaml)
{
	auto_free char *resolved = NULL;
	auto_msg_out struct msg_out m = { 0 };
	int r = policy_resolve_binaries(yaml, strlen(yaml), &resolved);

	if (r < 0)
		return r;
	msg_out_init(&m, PROXY_POLICY, s->revision);
	msg_put_u32(&m, s->revision);
	msg_put_str(&m, resolved);
	return msg_send(s->proxy_link.fd, &m);
}

int change_send_current(struct sandbox *s, struct err *err)
{
	int r = send_policy(s, s->policy_yaml);

	return r < 0 ? err_set(err, r, "telling the proxy its policy: %s", err_name(r)) : 0;
}

static void answer(struct control *c, uint32_t id, const struct sandbox *s,
	const struct state_revision *rev, bool is_changed, const char *note)
{
	auto_msg_out struct msg_out m;

	msg_out_init(&m, CTL_POLICY_DONE, id);
	msg_put_u32(&m, rev->version);
	msg_put_u32(&m, s->revision);
	msg_put_u32(&m, is_changed);
	msg_put_str(&m, rev->hash);
	msg_put_str(&m, note && note[0] ? note : NULL);
	control_send(c, &m);
}

static bool same_list(const char *const *a, const char *const *b, const char **ret_missing)
{
	for (; a && *a; a++) {
		bool is_there = false;

		for (const char *const *p = b; p && *p && !is_there; p++)
			is_there = str_eq(*a, *p);
		if (!is_there) {
			*ret_missing = *a;
			return false;
		}
	}
	return true;
}

/*
 * The static sections of a running sandbox: absent or equal, but for paths that are added
 * (openshell-upstream.md, section 1.4).
 */
static int check_static(const struct policy_static *old, const struct policy_static *new,
	char note[NOTE_MAX], struct err *err)
{
	const char *path = NULL;

	note[0] = '\0';
	if (new->has_process && (!str_eq(old->run_as_user, new->run_as_user) ||
			!str_eq(old->run_as_group, new->run_as_group) ||
			old->allow_user_namespaces != new->allow_user_namespaces))
		return err_set(err, -EINVAL,
			"process: cannot be changed on a live sandbox (applied at startup)");
	if (new->has_landlock && old->landlock_required != new->landlock_required)
		return err_set(err, -EINVAL,
			"landlock: cannot be changed on a live sandbox (applied at startup)");
	if (!new->has_filesystem)
		return 0;
	if (old->include_workdir != new->include_workdir)
		return err_set(err, -EINVAL, "filesystem_policy.include_workdir: cannot be changed "
					     "on a live sandbox (applied at startup)");
	if (!same_list(old->read_only, new->read_only, &path))
		return err_set(err, -EINVAL, "filesystem_policy: read_only path '%s' cannot be "
					     "removed on a live sandbox (applied at startup)", path);
	if (!same_list(old->read_write, new->read_write, &path))
		return err_set(err, -EINVAL, "filesystem_policy: read_write path '%s' cannot be "
					     "removed on a live sandbox (applied at startup)", path);
	if (!same_list(new->read_only, old->read_only, &path) ||
		!same_list(new->read_write, old->read_write, &path))
		(void)snprintf(note, NOTE_MAX,
			"added paths ('%s') take effect at the next start", path);
	return 0;
}

static int accept_change(struct sandbox *s, struct policy_change *ch, const char *yaml,
	struct policy *policy, struct err *err)
{
	int r;

	if (sandbox_wake_proxy(s) < 0)
		return err_set(err, -EPIPE, "the proxy of the sandbox is gone");
	r = state_revision_write(s->state, &ch->revision, yaml, strlen(yaml));
	if (r < 0)
		return err_set(err, r, "policy revision %u: %s", ch->revision.version, err_name(r));
	s->revision = ch->revision.version;
	r = send_policy(s, yaml);
	if (r < 0) {
		/* Else the next start would take it for the policy in force. */
		(void)state_revision_remove(s->state, ch->revision.version);
		return err_set(err, r, "telling the proxy: %s", r == -EAGAIN ? "it does not read" : err_name(r));
	}
	policy_unref(s->policy);
	s->policy = policy_ref(policy);
	(void)str_copy(s->policy_hash, sizeof(s->policy_hash), ch->revision.hash);
	return 0;
}

static bool is_unchanged(const struct sandbox *s, const struct state_revision *rev)
{
	return rev->hash[0] && str_eq(rev->hash, s->policy_hash);
}

static int begin(struct sandbox *s, struct control *c, uint32_t id, const char *yaml,
	const char *origin, struct err *err)
{
	struct policy_change *ch = calloc(1, sizeof(*ch));
	struct policy *policy = NULL;
	uint32_t before = s->revision;
	int r = ch ? load(yaml, &policy, err) : -ENOMEM;

	if (r == 0)
		r = check_static(policy_static(s->policy), policy_static(policy), ch->note, err);
	if (r < 0) {
		free(ch);
		policy_unref(policy);
		return r;
	}
	fill_revision(&ch->revision, state_revision_last(s->state) + 1, yaml, origin, "pending");
	ch->control = c;
	ch->request = id;
	if (is_unchanged(s, &ch->revision)) {
		ch->revision.version = s->revision;
		answer(c, id, s, &ch->revision, false, NULL);
		free(ch);
		policy_unref(policy);
		return 0;
	}
	r = accept_change(s, ch, yaml, policy, err);
	policy_unref(policy);
	if (r < 0) {
		s->revision = before;
		free(ch);
		return r;
	}
	LIST_INSERT_HEAD(&s->changes, ch, link);
	return 0;
}

void change_set(struct sandbox *s, struct control *c, struct msg_in *m)
{
	const char *yaml = msg_get_str(m);
	const char *origin = msg_get_str(m);
	struct err err = { 0 };
	int r;

	if (!msg_in_done(m) || !yaml) {
		control_failed(c, m->id, -EPROTO, 1, NULL, "malformed request");
		return;
	}
	r = begin(s, c, m->id, yaml, origin ? origin : "policy set", &err);
	if (r < 0)
		control_failed(c, m->id, r, 1, err.hint, "%s", err.text[0] ? err.text : err_name(r));
}

void change_done(struct sandbox *s, struct msg_in *m)
{
	uint32_t version = msg_get_u32(m), closed = msg_get_u32(m);
	struct policy_change *ch;

	if (!msg_in_done(m))
		return;
	LIST_FOREACH(ch, &s->changes, link)
		if (ch->revision.version == version)
			break;
	if (!ch)
		return;
	(void)str_copy(ch->revision.status, sizeof(ch->revision.status), "loaded");
	(void)state_revision_update(s->state, &ch->revision);
	sandbox_log(s, &(struct event){ .level = EVENT_INFO,
			       .adapter = EVENT_POLICY,
			       .message = "policy loaded",
			       .reason = ch->revision.origin,
			       .generation = version,
			       .count = 0 });
	if (closed)
		sandbox_say(s, EVENT_INFO, "%u connections were closed by policy revision %u", closed,
			version);
	answer(ch->control, ch->request, s, &ch->revision, true, ch->note);
	LIST_REMOVE(ch, link);
	free(ch);
}

void change_abandon(struct sandbox *s, struct control *c)
{
	struct policy_change *ch;

	LIST_FOREACH(ch, &s->changes, link)
		if (ch->control == c)
			ch->control = NULL;
}

void change_end_all(struct sandbox *s)
{
	for (struct policy_change *ch; (ch = LIST_FIRST(&s->changes));) {
		control_failed(ch->control, ch->request, -EPIPE, 1, NULL,
			"the sandbox ended before the policy was in force");
		LIST_REMOVE(ch, link);
		free(ch);
	}
}
