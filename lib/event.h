/*
 * One event of a sandbox's log, and its compact form on disk.
 *
 * On disk an event is one line of JSON with short stable keys (event_format()); the launcher
 * renders it as text, as upstream's shorthand or as OCSF 1.8 (lib/event_render.h). Strings are
 * borrowed and may hold anything: every byte from outside is escaped when it is written. Queries,
 * header values, bodies and credentials have no field here, which is how they stay out.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

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
	EVENT_SOCKET,  /* families and protocols that are refused: UDP, raw, netlink … */
};

enum event_action { EVENT_NONE = 0, EVENT_ALLOW, EVENT_DENY, EVENT_AUDIT };

struct event {
	uint64_t time_ms; /* since the epoch; 0: now */
	enum event_level level;
	enum event_adapter adapter;
	enum event_action action;
	const char *message;	/* LIFECYCLE and POLICY: what happened */
	const char *host;	/* destination; NULL where there is none */
	uint32_t port;
	const char *addr;	/* the address dialled, or the path of a Unix socket */
	const char *protocol;	/* "tcp", "udp", "unix", "http/1.1", "h2", "websocket" … */
	const char *binary;
	uint32_t pid;
	const char *const *ancestors;
	const char *policy;	/* display name */
	const char *endpoint;	/* "network_policies.KEY.endpoints[N]", or NULL */
	const char *rule;	/* "rules[N]" or "deny_rules[N]", or NULL */
	const char *engine;	/* "l4", "ssrf", "l7", "l7-graphql", "tls", "http-parser" … */
	const char *reason;
	const char *nearest;	/* the rule that would have allowed it, and in what it differs */
	const char *method;	/* L7 */
	const char *target;	/* L7: canonical path, no query */
	const char *operation;	/* GraphQL, JSON-RPC, MCP: "query Viewer{viewer}", "tools/call x" */
	uint32_t status;	/* HTTP status sent or relayed; 0 none */
	uint64_t bytes_up, bytes_down; /* end of a relay */
	uint32_t generation;	/* of the policy that decided */
	uint64_t connection;	/* the same on all events of one connection; 0 none */
	uint32_t count;		/* folded repeats of this event; 0 and 1 mean one */
	const char *stack;	/* --stacks: addresses by module, or NULL */
};

/* Appends the event as one JSON line with its newline: 0, -ENOBUFS, -ENOMEM. */
int event_format(struct buf *out, const struct event *e);
