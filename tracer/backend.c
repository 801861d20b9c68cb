#include "tracer/backend.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "tracer/coop.h"
#include "tracer/filter_code.h"
#include "tracer/listener.h"
#include "tracer/notify.h"
#include "tracer/sandbox.h"
#include "tracer/trace.h"

/* What may be done for each wish. */
static const struct {
	bool listens; /* with a seccomp listener */
	bool traces;  /* or else with ptrace */
	bool cooperates; /* with nothing but the workload's good will: never chosen, only asked for */
} backends[] = {
	[SPEC_INTERCEPT_AUTO] = { true, true, false },
	[SPEC_INTERCEPT_SECCOMP] = { true, false, false },
	[SPEC_INTERCEPT_PTRACE] = { false, true, false },
	[SPEC_INTERCEPT_PRELOAD] = { false, false, true },
};

bool backend_exists(enum spec_intercept asked)
{
	return backends[asked].listens || backends[asked].traces || backends[asked].cooperates;
}

/* Which program, by what it is for: traced, asked about writes, may make namespaces. */
static const struct program {
	const struct sock_filter *code;
	const size_t *len;
} programs[2][2][2] = {
	{ { { filter_usual, &filter_usual_len }, { filter_nesting, &filter_nesting_len } },
		{ { filter_usual_writes, &filter_usual_writes_len },
			{ filter_nesting_writes, &filter_nesting_writes_len } } },
	{ { { filter_usual_traced, &filter_usual_traced_len },
		  { filter_nesting_traced, &filter_nesting_traced_len } },
		{ { filter_usual_writes_traced, &filter_usual_writes_traced_len },
			{ filter_nesting_writes_traced, &filter_nesting_writes_traced_len } } },
};

static void put_program(const struct sandbox *s, bool is_traced, struct msg_out *m)
{
	const bool asks_writes = s->protect.n > 0;
	const bool is_nesting = policy_static(s->policy)->allow_user_namespaces;
	const struct program *p = &programs[is_traced][asks_writes][is_nesting];

	msg_put_bytes(m, p->code, *p->len);
}

void backend_put_filter(const struct sandbox *s, struct msg_out *m)
{
	if (backends[s->spec.intercept].listens)
		put_program(s, false, m);
	else
		msg_put_bytes(m, "", 0);
}

int backend_listen(struct sandbox *s, int number, struct err *err)
{
	int fd = (int)syscall(SYS_pidfd_getfd, s->init.watch.fd, number, 0);

	if (fd < 0)
		return err_set(err, -errno, "the seccomp listener cannot be fetched from init: %s",
			err_name(errno));
	s->calls = listener_open(fd, err);
	s->intercept = SPEC_INTERCEPT_SECCOMP;
	return s->calls ? 0 : -EIO;
}

static int refuse(int errnum, struct err *err)
{
	(void)err_set(err, -errnum, "the seccomp filter with its notification listener: %s",
		err_name(errnum));
	return err_hint(err, -errnum, "%s",
		errnum == EBUSY ? "something around us listens to seccomp already (WSL2, a "
				  "container in a container): --intercept ptrace needs no listener"
				: "openshell doctor says what this host lacks and how to mend it");
}

static int send_filter(struct sandbox *s, struct err *err)
{
	auto_msg_out struct msg_out m;
	int r;

	msg_out_init(&m, INIT_TRACED, 0);
	put_program(s, true, &m);
	r = msg_send(s->init_link.fd, &m);
	return r < 0 ? err_set(err, r, "init: %s", err_name(r)) : 0;
}

static int cooperate(struct sandbox *s, struct err *err)
{
	const bool is_nesting = policy_static(s->policy)->allow_user_namespaces;
	auto_msg_out struct msg_out m = { 0 };
	int r;

	s->intercept = SPEC_INTERCEPT_PRELOAD;
	s->calls = coop_new(take_fd(s->coop_listener), err);
	if (!s->calls)
		return -ENOMEM;
	msg_out_init(&m, INIT_COOPERATIVE, 0);
	if (is_nesting)
		msg_put_bytes(&m, filter_nesting_cooperative, filter_nesting_cooperative_len);
	else
		msg_put_bytes(&m, filter_usual_cooperative, filter_usual_cooperative_len);
	r = msg_send(s->init_link.fd, &m);
	return r < 0 ? err_set(err, r, "init: %s", err_name(r)) : 0;
}

int backend_without_listener(struct sandbox *s, int errnum, struct err *err)
{
	int r;

	if (backends[s->spec.intercept].cooperates)
		return cooperate(s, err);
	if (!backends[s->spec.intercept].traces)
		return refuse(errnum, err);
	s->no_listener = errnum;
	s->intercept = SPEC_INTERCEPT_PTRACE;
	s->calls = trace_new(s->init.pid, err);
	r = s->calls ? send_filter(s, err) : -EPERM;
	if (r < 0 && errnum)
		return err_wrap(err, r, "no seccomp listener (%s), and no ptrace in its stead",
			err_name(errnum));
	return r;
}

void backend_prove(struct sandbox *s)
{
	const struct answer proof = { .kind = ANSWER_VALUE, .value = INIT_PROOF };
	struct call c;

	if (s->calls->ops->receive(s->calls, &c))
		s->calls->ops->respond(s->calls, &c, &proof);
}
