/*
 * One event of a sandbox's log, and its compact form on disk.
 *
 * On disk an event is one line of JSON with short stable keys (event_format()); the launcher
 * renders it as text, as upstream's shorthand or as OCSF 1.8 (lib/event_render.h). Strings are
 * borrowed and may hold anything: every byte from outside is escaped when it is written. Queries,
 * header values, bodies and credentials have no field here, which is how they stay out; a query
 * left on a target is cut off, a path segment with a credential placeholder is written as
 * [CREDENTIAL].
 *
 * What varies between two otherwise equal events (time, connection, pid) stands at the front of
 * the line, the rest is their identity: lib/log.c folds events of one identity when they flood.
 * The fields of a folded line (count, time of the last one) have a fixed place and width.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct stack;

enum {
	EVENT_FIELD_MAX = 4096,	      /* bytes of one string that are written; then it is cut */
	EVENT_SOURCE_MAX = 48 * 1024, /* bytes of all strings of one event */
	EVENT_LINE_MAX = 512 * 1024,  /* no line is longer: six bytes for one, and the keys */
};

enum event_level { EVENT_DEBUG = 0, EVENT_INFO, EVENT_WARN, EVENT_ERROR };

enum event_adapter {
	EVENT_LIFECYCLE = 0,
	EVENT_POLICY,
	EVENT_CONNECT, /* explicit proxy */
	EVENT_FORWARD, /* absolute-form */
	EVENT_TCP,     /* transparent */
	EVENT_DNS,
	EVENT_UNIX,
	EVENT_L7,
	EVENT_FS,
	EVENT_SOCKET, /* families and protocols that are refused: UDP, raw, netlink … */
};

enum event_action { EVENT_NONE = 0, EVENT_ALLOW, EVENT_DENY, EVENT_AUDIT };

struct event {
	uint64_t time_ms; /* since the epoch; 0: now */
	enum event_level level;
	enum event_adapter adapter;
	enum event_action action;
	const char *message; /* LIFECYCLE and POLICY: what happened */
	const char *host;    /* destination; NULL where there is none */
	uint32_t port;
	const char *addr;     /* the address dialled, or the path of a Unix socket */
	const char *protocol; /* "tcp", "udp", "unix", "http/1.1", "h2", "websocket" … */
	const char *binary;
	uint32_t pid;
	const char *const *ancestors;
	const char *policy;   /* display name */
	const char *endpoint; /* "network_policies.KEY.endpoints[N]", or NULL */
	const char *rule;     /* "rules[N]" or "deny_rules[N]", or NULL */
	const char *engine;   /* "l4", "ssrf", "l7", "l7-graphql", "tls", "http-parser" … */
	const char *reason;
	const char *nearest;   /* the rule that would have allowed it, and in what it differs */
	const char *method;    /* L7 */
	const char *target;    /* L7: canonical path, no query */
	const char *operation; /* GraphQL, JSON-RPC, MCP: "query Viewer{viewer}", "tools/call x" */
	const char *model, *provider; /* of a request to inference.local */
	uint32_t latency_ms;	      /* until its answer began; 0: there is none yet */
	uint32_t status;       /* HTTP status sent or relayed; 0 none */
	uint64_t bytes_up, bytes_down; /* end of a relay */
	uint32_t generation;	       /* of the policy that decided */
	uint64_t connection;	       /* the same on all events of one connection; 0 none */
	uint32_t count;	   /* folded: how many events this one stands for; 0 means one */
	uint64_t until_ms; /* folded: time of the last of them */
	const char *stack; /* --stacks: as lib/stack.h writes it, or NULL */
	const struct stack *frames; /* the same for who renders; never on disk */
	const char *asker;	    /* the same in a few words, escaped; never on disk */
};

/* Appends the event as one JSON line with its newline: 0, -ENOBUFS, -ENOMEM (then nothing). */
int event_format(struct buf *out, const struct event *e);

/*
 * The two halves of event_format(): time, fold, connection and pid; then everything that makes
 * the event what it is. On failure @out may hold a part of a line.
 */
int event_format_head(struct buf *out, const struct event *e);
int event_format_identity(struct buf *out, const struct event *e);

/* Where a folded line (event->count is not 0) keeps its count and last time, and how wide. */
enum {
	EVENT_TIME_AT = 5,
	EVENT_TIME_WIDTH = 13, /* until the year 2286 */
	EVENT_COUNT_AT = 23,
	EVENT_COUNT_WIDTH = 10,
	EVENT_UNTIL_AT = 38,
	EVENT_FOLD_END = 51, /* first byte behind the last time */
};

/* Writes @v right-aligned with blanks into @width bytes at @p (JSON allows no leading zeros); what
 * does not fit becomes all nines. */
void event_put_padded(char *p, size_t width, uint64_t v);

/* Milliseconds since the epoch. */
uint64_t event_now_ms(void);

/* "CONNECT" …, "allow" …, "WARN" …; "?" for a value that does not exist. */
const char *event_adapter_name(enum event_adapter a);
const char *event_action_name(enum event_action a);
const char *event_level_name(enum event_level l);
/* False for a name that does not exist; case does not matter. */
bool event_adapter_from_name(const char *name, enum event_adapter *ret);
bool event_action_from_name(const char *name, enum event_action *ret);
bool event_level_from_name(const char *name, enum event_level *ret);
