/*
 * Connections of launchers: the requests of lib/proto.h, and their answers.
 */
#pragma once

#include <stdarg.h>
#include <stdint.h>
#include <sys/queue.h>

#include "lib/loop.h"
#include "lib/msg.h"

struct err;
struct sandbox;

enum { CONTROLS_MAX = 512 };

struct control {
	struct sandbox *sandbox;
	struct watch watch;
	uint32_t waiting; /* id of CTL_STOP or CTL_DELETE to be answered at the end, +1; 0: none */
	bool is_starter;  /* the launcher that made the sandbox */
	LIST_ENTRY(control) link;
};

/* Adopts a connected socket. NULL when out of memory or over the limit (then @fd is closed). */
struct control *control_new(struct sandbox *s, int fd);
/* Listens on the control socket in the runtime directory. */
int control_listen(struct sandbox *s, struct err *err);

/* One message to a launcher; one that does not read is cut off. @c may be NULL. */
void control_send(struct control *c, const struct msg_out *m);
void control_failed(struct control *c, uint32_t id, int r, int exit_status, const char *hint,
	const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* Everybody who waits for the end is told; all connections close. */
void control_end_all(struct sandbox *s);
