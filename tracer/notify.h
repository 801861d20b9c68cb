/*
 * The seccomp listener: system calls of the workload that wait for our answer.
 *
 * Each notification is taken, looked at and answered; what cannot be answered at once (a binary
 * being hashed, a socket whose peer is slow) is parked and never holds up the next one. A call
 * whose pointer arguments mattered is carried out here, on a copy, on a duplicate of the caller's
 * descriptor; CONTINUE is used only where every argument is a number (design.md, invariant 2).
 */
#pragma once

#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"

struct notifier;
struct sandbox;

enum {
	NOTIFY_PARKED_MAX = 4096,   /* calls waiting for something; beyond: refused with EAGAIN */
	NOTIFY_PAYLOAD_MAX = 65536, /* bytes of a datagram that are copied */
};

/* Serves @listener (owned from now on) for @s. NULL with text on failure. */
struct notifier *notifier_new(struct sandbox *s, int listener, struct err *err);
void notifier_free(struct notifier *n);
/* Puts the parked questions that wait for a hash again. */
void notifier_retry(struct notifier *n);

/* What one system call is told. */
enum answer_kind {
	ANSWER_ERROR = 0, /* -errno in value: zeroed memory answers with error 0 only if set so */
	ANSWER_VALUE,
	ANSWER_CONTINUE,
	ANSWER_PARK_HASH,   /* ask again after a hash has arrived */
	ANSWER_PARK_WRITE,  /* ask again when fd becomes writable */
	ANSWER_PARK_RETRY,  /* ask again in a moment: nothing to wait on exists */
};

struct answer {
	enum answer_kind kind;
	int64_t value;
	int fd; /* PARK_WRITE: owned */
};

/* One call on its way; kept when it is parked. */
struct call {
	struct seccomp_notif req;
	bool is_judged;	  /* parked after the decision: only the carrying-out is repeated */
	uint64_t cookie;  /* of the connection, for the log */
};

/* Whether the caller still waits: to be asked after each look into /proc. */
bool notifier_is_valid(struct notifier *n, const struct call *c);

/* The handlers, one a system call (connect.c, send.c). */
struct answer connect_handle(struct sandbox *s, struct notifier *n, struct call *c);
struct answer getpeername_handle(struct sandbox *s, struct notifier *n, struct call *c);
struct answer sendto_handle(struct sandbox *s, struct notifier *n, struct call *c);
struct answer socket_handle(struct sandbox *s, struct notifier *n, struct call *c);
