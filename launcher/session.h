/*
 * A command in a sandbox, seen from the terminal: waits for its end, forwards signals, and where
 * it has a terminal of its own carries bytes and window sizes between that and ours.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"

struct session {
	int sock;	  /* connection to the supervisor; CTL_EXEC or CTL_ATTACH was sent on it */
	bool is_tty;	  /* CTL_STARTED brings a terminal */
	const char *name; /* of the sandbox, for the message on detaching */
	const char *command;	     /* what is run, for the message that it cannot be; NULL: no one program */
	unsigned int timeout_s;	     /* 0: none; then SIGTERM, SIGKILL, and CLI_TIMEOUT */
	/* Once the sandbox is up. NULL: it is up already, and a supervisor that does not say in a while that the
	 * command runs is given up. */
	void (*on_ready)(void *arg);
	void *arg;
};

/*
 * Blocks the signals that a session handles itself. To be called before anything is started, so
 * that none is lost.
 */
void session_block_signals(void);

/*
 * Runs to the end of the session. Returns the status to exit with: the command's own, 128 + its
 * signal, or what the supervisor said when it could not be started (the reason is printed).
 * -ENOENT, silently, when there was nothing to attach to.
 */
int session_run(const struct session *s);
