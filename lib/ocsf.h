/*
 * Events as OCSF 1.8 (openshell-upstream.md section 5): upstream's one-line shorthand for people
 * who know it from there, and one JSON object an event for a SIEM.
 *
 * An event is first turned into `struct ocsf`, which is pure data; both forms are made from that.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"
#include "lib/event.h"

enum ocsf_class {
	OCSF_BASE = 0,
	OCSF_PROCESS = 1007,
	OCSF_FINDING = 2004,
	OCSF_NETWORK = 4001,
	OCSF_HTTP = 4002,
	OCSF_SSH = 4007,
	OCSF_CONFIG = 5019,
	OCSF_LIFECYCLE = 6002,
	OCSF_API = 6003,
};

enum ocsf_severity {
	OCSF_UNKNOWN = 0,
	OCSF_INFORMATIONAL,
	OCSF_LOW,
	OCSF_MEDIUM,
	OCSF_HIGH,
	OCSF_CRITICAL,
	OCSF_FATAL,
};

enum { OCSF_CONTEXT_MAX = 4, OCSF_REASON_MAX = 256, OCSF_MSG_MAX = 120 };

struct ocsf_pair {
	const char *key, *value;
};

/* Strings are borrowed; NULL and 0 where there is nothing. */
struct ocsf {
	enum ocsf_class class;
	const char *activity; /* "Open", "Get", "Loaded" …: as OCSF names it */
	enum ocsf_severity severity;
	const char *action;  /* "Allowed", "Denied" */
	const char *process; /* who */
	uint32_t pid;
	const char *command; /* PROC */
	const char *src_ip;
	uint32_t src_port;
	const char *dst; /* name or address */
	uint32_t dst_port;
	const char *protocol; /* shown behind the port */
	const char *rule, *engine;
	const char *method, *scheme, *path;
	const char *auth;	 /* SSH */
	const char *title, *uid; /* FINDING */
	const char *app;	 /* LIFECYCLE */
	const char *model, *provider, *operation; /* API */
	uint32_t latency_ms;
	bool is_failure;
	const char *message;
	const char *status_detail;
	struct ocsf_pair context[OCSF_CONTEXT_MAX]; /* shown as [key:value …] */
};

/* "[INFO]", "[MED]" … for OCSF's severity_id; unknown ones are [INFO]. */
const char *ocsf_severity_tag(unsigned int severity_id);

/* The line without time and newline: 0, -ENOBUFS, -ENOMEM. Control characters and all that could
 * forge a tag are escaped. */
int ocsf_shorthand(struct buf *out, const struct ocsf *o);

/*
 * One line as `openshell logs` upstream prints it, with its newline:
 * [seconds.millis] [source] [LEVEL] [target] message k=v …
 */
int ocsf_log_line(struct buf *out, uint64_t time_ms, const char *source, const char *level,
	const char *target, const char *message);

/* The number OCSF has for an activity of a class, 99 ("Other") if it has none. */
int ocsf_activity_id(enum ocsf_class class, const char *name);

/* The event as OCSF sees it; texts that had to be composed live in @text (initialised, empty). */
int ocsf_from_event(struct ocsf *ret, const struct event *e, struct buf *text);

/* Where an event comes from: what the log itself does not repeat on every line. */
struct ocsf_origin {
	const char *sandbox;  /* name */
	const char *id;	      /* of the sandbox; NULL: the name */
	const char *hostname; /* of the machine; NULL: unknown */
};

/* Both forms of one event, each a line with its newline: 0, -ENOBUFS, -ENOMEM. */
int ocsf_render_shorthand(struct buf *out, const struct event *e);
int ocsf_render_json(struct buf *out, const struct event *e, const struct ocsf_origin *origin);
