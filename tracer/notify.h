/*
 * System calls of the workload that wait for our answer.
 *
 * Where they come from is a source's business: the seccomp listener (listener.h) or a ptrace stop
 * (trace.h). Each call is taken, looked at and answered; what cannot be answered at once (a binary
 * being hashed, a socket whose peer is slow) is parked and never holds up the next one. A call
 * whose pointer arguments mattered is carried out here, on a copy, on a duplicate of the caller's
 * descriptor; CONTINUE is used only where every argument is a number (design.md, invariant 2), and
 * where nothing is decided (fsnote.c).
 *
 * Where many tasks ask at once, the processes take turns: a thousand threads that do nothing but
 * connect delay another process by a few calls, not by a thousand.
 */
#pragma once

#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "lib/err.h"

struct notifier;
struct sandbox;

enum {
	NOTIFY_PENDING_MAX = 4096,  /* calls taken and not answered; beyond: refused with EAGAIN */
	NOTIFY_TURN_MAX = 4,	    /* queued calls served before other events are looked at */
	NOTIFY_RESTARTSYS = 512,    /* the kernel's ERESTARTSYS: restart or EINTR, as the handler of
				       the signal that waits has it */
};

/* What one system call is told. */
enum answer_kind {
	ANSWER_ERROR = 0, /* -errno in value: zeroed memory answers with error 0 only if set so */
	ANSWER_VALUE,
	ANSWER_CONTINUE,
	ANSWER_PARK_HASH,  /* ask again after a hash has arrived */
	ANSWER_PARK_WRITE, /* ask again, with call.held = fd, when fd becomes writable */
	ANSWER_PARK_RETRY, /* ask again in a moment: nothing to wait on exists */
	ANSWER_PARK_PROXY, /* ask again when the proxy has taken what it was sent */
};

struct answer {
	enum answer_kind kind;
	int64_t value;	     /* PARK_WRITE, PARK_RETRY: the -errno when the time is over */
	int fd;		     /* PARK_WRITE: owned */
	uint32_t timeout_ms; /* PARK_WRITE, PARK_RETRY: SO_SNDTIMEO; 0: as long as it takes */
	bool is_unjudged;    /* CONTINUE: nothing was decided, so nothing has to be in the log */
};

/* One call on its way; kept when it is parked. */
struct call {
	struct seccomp_notif req;
	int held; /* >= 0: the socket of an earlier PARK_WRITE, borrowed; the decision stands */
	struct sockaddr_storage to; /* with it: where it is being connected to */
	socklen_t to_len;
	uint64_t cookie;   /* of the connection, for the log */
	bool is_queued;	   /* others wait, too */
	bool has_company;  /* more calls of the same process wait */
	size_t n_sent;     /* with held: bytes of a stream's message that have gone */
	bool is_cooperative; /* the program's library asks; the address is in @to, the answer's too */
	int lent;	     /* with it: the program's socket; the source's own */
	bool wants_stack;  /* a refusal is to be logged with its stack: the question is put again then */
	struct answer wait; /* with it: what is told meanwhile */
};

/* Where calls come from. What it is told is told once: an answered call is over. */
struct call_source {
	const struct call_source_ops *ops;
	int fd; /* readable while a call may wait; the source's own */
};

struct call_source_ops {
	/* The next call. False: there was none, or its caller is gone. Asked when @fd is readable. */
	bool (*receive)(struct call_source *src, struct call *ret);
	/* Whether receive() would find another one at once. */
	bool (*has_more)(struct call_source *src);
	bool (*is_valid)(struct call_source *src, const struct call *c);
	/* A caller that is gone is nobody to answer. */
	void (*respond)(struct call_source *src, const struct call *c, const struct answer *a);
	/* When everybody who could call has been sent SIGKILL: waits for their end where the kernel
	 * wants that, and releases everything. */
	void (*free)(struct call_source *src);
};

/* NULL is fine. */
void call_source_free(struct call_source *src);

/* Serves @src, which outlives it, for @s. NULL with text on failure. */
struct notifier *notifier_new(struct sandbox *s, struct call_source *src, struct err *err);
void notifier_free(struct notifier *n);
/* Puts the parked questions that wait for a hash again. */
void notifier_retry(struct notifier *n);
/* The same for that of one call, by its notification; none is fine. */
void notifier_retry_one(struct notifier *n, uint64_t id);

/* Whether the caller still waits: to be asked after each look into /proc. */
bool notifier_is_valid(struct notifier *n, const struct call *c);

/* The handlers, one a system call (connect.c, send.c). */
struct answer connect_handle(struct sandbox *s, struct notifier *n, struct call *c);
struct answer getpeername_handle(struct sandbox *s, struct notifier *n, struct call *c);
struct answer sendto_handle(struct sandbox *s, struct notifier *n, struct call *c);
/* sendmsg() and sendmmsg(). */
struct answer sendmsg_handle(struct sandbox *s, struct notifier *n, struct call *c);
/* socket() and socketpair(). */
struct answer socket_handle(struct sandbox *s, struct notifier *n, struct call *c);
/* Calls that may write to a path (fsnote.c): goes on in any case, noted where it will be refused. */
struct answer fsnote_handle(struct sandbox *s, struct notifier *n, struct call *c);
bool fsnote_is_for(int nr);
