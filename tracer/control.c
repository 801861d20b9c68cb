#include "tracer/control.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/jsontext.h"
#include "lib/proto.h"
#include "lib/str.h"
#include "tracer/advisor.h"
#include "tracer/change.h"
#include "tracer/credentials.h"
#include "tracer/owner.h"
#include "tracer/sandbox.h"
#include "tracer/session.h"
#include "tracer/spare.h"

static void control_destroy(struct watch *w)
{
	struct control *c = container_of(w, struct control, watch);

	(void)close(w->fd);
	free(c);
}

static void control_end(struct control *c)
{
	struct sandbox *s = c->sandbox;

	if (c->watch.is_dead)
		return;
	LIST_REMOVE(c, link);
	watch_bury(s->loop, &c->watch);
	session_abandon(s, c);
	change_abandon(s, c);
	/* Nobody is left who wanted an unkept sandbox. */
	if (c->is_starter && !s->spec.keep && s->phase != PHASE_ENDING)
		sandbox_end(s, true);
}

void control_send(struct control *c, const struct msg_out *m)
{
	if (!c || c->watch.is_dead)
		return;
	if (msg_send(c->watch.fd, m) < 0)
		control_end(c);
}

void control_failed(struct control *c, uint32_t id, int r, int exit_status, const char *hint,
	const char *fmt, ...)
{
	auto_msg_out struct msg_out m;
	char text[ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	msg_out_init(&m, CTL_FAILED, id);
	msg_put_u32(&m, (uint32_t)-r);
	msg_put_u32(&m, (uint32_t)exit_status);
	msg_put_str(&m, text);
	msg_put_str(&m, hint && hint[0] ? hint : NULL);
	control_send(c, &m);
}

static void on_attach(struct control *c, struct msg_in *m)
{
	uint32_t rows = msg_get_u32(m), cols = msg_get_u32(m);

	if (!msg_in_done(m))
		control_failed(c, m->id, -EPROTO, 125, NULL, "malformed request");
	else if (!session_attach(c->sandbox, c, m->id, rows, cols))
		control_failed(c, m->id, -ENOENT, 1, NULL, "no main process waits for a terminal");
}

static void on_signal(struct control *c, struct msg_in *m)
{
	uint32_t id = msg_get_u32(m), sig = msg_get_u32(m);

	if (msg_in_done(m))
		session_signal(c->sandbox, c, id, sig);
}

static const char *phase_name(const struct sandbox *s)
{
	if (s->phase == PHASE_READY)
		return s->is_proxy_gone ? "Error" : "Ready";
	return s->phase == PHASE_STARTING ? "Starting" : "Stopping";
}

static json_t *status_json(const struct sandbox *s)
{
	const struct session *ss;
	int sessions = 0;

	LIST_FOREACH(ss, &s->sessions, link)
		sessions++;
	return json_pack("{s:s, s:s, s:s, s:I, s:s, s:i, s:s, s:i, s:b, s:b}", "name",
		s->spec.name, "id", s->spec.id ? s->spec.id : "", "phase", phase_name(s),
		"policy_revision", (json_int_t)s->revision, "policy_hash", s->policy_hash,
		"sessions", sessions, "intercept", spec_intercept_name(s->intercept), "landlock_abi", s->landlock_abi,
		"audit", (int)s->spec.audit, "main_running", s->main_session != NULL);
}

static void on_status(struct control *c, struct msg_in *m)
{
	json_t *j = status_json(c->sandbox);
	auto_free char *text = j ? jsontext_dumps(j, JSON_COMPACT) : NULL;
	auto_msg_out struct msg_out out;

	json_decref(j);
	msg_out_init(&out, CTL_TEXT, m->id);
	msg_put_str(&out, text ? text : "{}");
	control_send(c, &out);
}

static void on_trust(struct control *c, struct msg_in *m)
{
	struct sandbox *s = c->sandbox;
	const char *path = msg_get_str(m);
	auto_msg_out struct msg_out out = { 0 };

	if (!msg_in_done(m) || !path) {
		control_failed(c, m->id, -EPROTO, 1, NULL, "malformed request");
		return;
	}
	if (owner_trust(s->owners, path) < 0) {
		control_failed(c, m->id, -ENOENT, 1, NULL, "'%s' has not been seen by this sandbox",
			path);
		return;
	}
	sandbox_say(s, EVENT_INFO, "binary %s is trusted anew, as it is now", path);
	msg_out_init(&out, CTL_DONE, m->id);
	control_send(c, &out);
}

static void on_netns(struct control *c, const struct msg_in *m)
{
	auto_msg_out struct msg_out out;

	msg_out_init(&out, CTL_NETNS_FD, m->id);
	msg_put_fd(&out, c->sandbox->netns);
	control_send(c, &out);
}

static void on_request(struct control *c, struct msg_in *m)
{
	struct sandbox *s = c->sandbox;

	switch (m->type) {
	case CTL_EXEC:
		session_exec(s, c, m);
		break;
	case CTL_ATTACH:
		on_attach(c, m);
		break;
	case CTL_SIGNAL:
		on_signal(c, m);
		break;
	case CTL_STATUS:
		on_status(c, m);
		break;
	case CTL_POLICY_SET:
		change_set(s, c, m);
		break;
	case CTL_TRUST:
		on_trust(c, m);
		break;
	case CTL_PROPOSAL:
		advisor_decide(s, c, m);
		break;
	case CTL_CREDENTIALS:
		credentials_take(s, c, m);
		break;
	case CTL_INFERENCE:
		inference_take(s, c, m);
		break;
	case CTL_SETTING:
		advisor_setting(s, c, m);
		break;
	case CTL_NETNS:
		on_netns(c, m);
		break;
	case CTL_STOP:
		c->waiting = m->id + 1;
		sandbox_stop(s);
		break;
	case CTL_DELETE:
		c->waiting = m->id + 1;
		sandbox_end(s, true);
		break;
	default:
		control_failed(c, m->id, -ENOTSUP, 1,
			"the sandbox was started by another version: openshell sandbox stop, then start",
			"unknown request %u", m->type);
	}
}

/* There is no descriptor, or no memory, for a request: the log says so, and @m is what whoever asks is told. */
static void refuse_for_room(struct sandbox *s, int r, struct msg_out *m)
{
	const char *what = r == -ENOMEM ? "memory" : "file descriptors";
	const char *option = r == -ENOMEM ? "-d" : "-n";
	char text[128], hint[128];

	(void)snprintf(text, sizeof(text), "the supervisor of the sandbox is out of %s", what);
	(void)snprintf(hint, sizeof(hint),
		"fewer things at once, or stop it and start it where 'ulimit %s' is larger", option);
	sandbox_say(s, EVENT_WARN, "a command was refused: out of %s", what);
	msg_out_init(m, CTL_FAILED, 0);
	msg_put_u32(m, (uint32_t)-r);
	msg_put_u32(m, 1);
	msg_put_str(m, text);
	msg_put_str(m, hint);
}

/* A request, or its descriptors, found no room; it cannot be answered but with that. */
static void no_room_for(struct control *c, int r)
{
	auto_msg_out struct msg_out m;

	refuse_for_room(c->sandbox, r, &m);
	control_send(c, &m);
}

static void on_control(struct loop *loop, struct watch *w, uint32_t events)
{
	struct control *c = container_of(w, struct control, watch);
	auto_msg_in struct msg_in m = { 0 };
	int r = msg_recv(w->fd, &m);

	(void)loop;
	(void)events;
	if (r == -EAGAIN)
		return;
	if (r == -EMFILE || r == -ENOMEM)
		no_room_for(c, r);
	else if (r <= 0)
		control_end(c);
	else
		on_request(c, &m);
}

static bool is_our_uid(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 && cred.uid == getuid();
}

struct control *control_new(struct sandbox *s, int fd)
{
	const struct control *other;
	struct control *c;
	int n = 0;

	LIST_FOREACH(other, &s->controls, link)
		n++;
	c = n < CONTROLS_MAX && is_our_uid(fd) ? calloc(1, sizeof(*c)) : NULL;
	if (!c) {
		(void)close(fd);
		return NULL;
	}
	c->sandbox = s;
	watch_init(&c->watch, fd, on_control, control_destroy);
	LIST_INSERT_HEAD(&s->controls, c, link);
	if (watch_set(s->loop, &c->watch, EPOLLIN) == 0)
		return c;
	control_end(c);
	return NULL;
}

static void turn_away(struct sandbox *s, int fd)
{
	auto_msg_out struct msg_out m;

	refuse_for_room(s, -EMFILE, &m);
	(void)msg_send(fd, &m);
	spare_close(fd);
}

static void on_connection(struct loop *loop, struct watch *w, uint32_t events)
{
	struct sandbox *s = container_of(w, struct sandbox, control);
	bool is_last;
	int fd = spare_accept(w->fd, &is_last);

	(void)loop;
	(void)events;
	if (is_last)
		turn_away(s, fd);
	else if (fd >= 0)
		(void)control_new(s, fd);
}

int control_listen(struct sandbox *s, struct err *err)
{
	int fd = state_control_listen(s->runtime_dir, err);

	if (fd < 0)
		return fd;
	watch_init(&s->control, fd, on_connection, NULL);
	return watch_set(s->loop, &s->control, EPOLLIN);
}

void control_end_all(struct sandbox *s)
{
	for (struct control *c; (c = LIST_FIRST(&s->controls));) {
		if (c->waiting)
			(void)msg_send_empty(c->watch.fd, CTL_DONE, c->waiting - 1);
		LIST_REMOVE(c, link);
		watch_bury(s->loop, &c->watch);
	}
}
