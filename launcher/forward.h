/*
 * Forwarding a port of the host to a server inside a sandbox.
 *
 * One process for each forwarded port: it listens outside, has every connection's other end
 * dialled inside the sandbox's network namespace by a child that joined it, and carries bytes. It
 * ends with the sandbox, whose supervisor it stays connected to.
 *
 * Its pid file "forward-PORT" in the sandbox's runtime directory is locked while it lives.
 */
#pragma once

#include <stdint.h>

#include "lib/err.h"

enum { FORWARD_BIND_MAX = 46, FORWARD_CONNECTIONS_MAX = 256 };

struct forward_spec {
	char bind[FORWARD_BIND_MAX]; /* an IP address */
	uint16_t port;
};

/* "[bind:]port", the last colon splits; 127.0.0.1 where nothing is said. 0 or -EINVAL. Pure. */
int forward_parse(const char *text, struct forward_spec *ret, struct err *err);

/*
 * Starts forwarding in a process of its own: 0 when it listens, -errno with text otherwise.
 * @ret_pid may be NULL.
 */
int forward_start(
	const char *sandbox, const struct forward_spec *spec, int *ret_pid, struct err *err);

/* The same in this process, until the sandbox or a signal ends it; @on_ready is told when it
 * listens. */
int forward_run(const char *sandbox, const struct forward_spec *spec, void (*on_ready)(void *arg),
	void *arg, struct err *err);
