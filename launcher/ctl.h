/*
 * Talking to a sandbox's supervisor (messages CTL_* of lib/proto.h): starting one, and the
 * requests that have one answer. Sessions are in launcher/session.h.
 */
#pragma once

#include <stdint.h>

#include "lib/err.h"
#include "lib/msg.h"
#include "lib/spec.h"

/* Where the other programs are: OPENSHELL_LIBEXEC, else beside our own or in ../libexec/openshell,
 * else where they were built to be. 0 or -errno. */
int ctl_program_dir(char *ret, size_t size, struct err *err);

/*
 * Starts a supervisor and returns the connection to it; nothing has been sent yet. It runs apart
 * from us: own session, working directory /, none of our descriptors. -errno with text.
 */
int ctl_spawn(struct err *err);

/* Sends CTL_START for a new sandbox. @policy may be NULL: the default policy. Does not wait for
 * the answer. */
int ctl_send_start(int sock, const struct sandbox_spec *spec, const char *policy, struct err *err);
/* The same for a stopped one, which goes on with its last policy. */
int ctl_send_restart(int sock, const struct sandbox_spec *spec, struct err *err);

/* What to run. */
struct ctl_exec {
	uint32_t kind;	     /* enum ctl_exec_kind */
	uint32_t flags;	     /* enum ctl_exec_flags */
	const char *workdir; /* NULL: where the sandbox's commands start */
	char *const *env;    /* KEY=VALUE beyond the sandbox's own */
	char *const *argv;
	const int *stdio; /* three descriptors; NULL: our own. Not with CTL_EXEC_TTY */
};

/*
 * Sends CTL_EXEC: with our standard descriptors unless a terminal is asked for, with the size of
 * ours if it is. The environment that goes along is the caller's TERM, LANG, LC_* and TZ, then
 * @exec->env, later entries winning.
 */
int ctl_send_exec(int sock, const struct ctl_exec *exec, struct err *err);

/*
 * msg_send() to a supervisor. One that turns us away may have gone by then: where it has said why, that is
 * the answer, and sending was no failure. 0 or -errno with text.
 */
int ctl_send(int sock, const struct msg_out *m, struct err *err);

/*
 * msg_recv() from a supervisor. One that ends before it has read all we sent resets the
 * connection; what it said before is still there, behind the error.
 */
int ctl_recv(int sock, struct msg_in *ret);

/*
 * Waits for the answer of type @want to what was sent; CTL_READY and CTL_STARTED in between are
 * passed over unless wanted. 0 and @ret; CTL_FAILED becomes its -errno with text (and
 * @ret_status, where not NULL, the status to exit with); -EPIPE when the supervisor is gone;
 * -ETIME after @timeout_ms (-1: never).
 */
int ctl_wait(int sock, uint16_t want, int timeout_ms, struct msg_in *ret, int *ret_status,
	struct err *err);

/* Reads a CTL_FAILED into @err: its -errno; @ret_status (may be NULL) is what it says to exit
 * with. */
int ctl_failure(struct msg_in *m, int *ret_status, struct err *err);
