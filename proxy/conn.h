/*
 * One connection of the workload, from accept to close.
 *
 * conn.c holds the way in: who asks, for what, and whether; exchange.c carries HTTP/1 requests once
 * the way in is known; relay.c carries bytes that nobody inspects. Every decision is written to
 * the log first: a handler that decided calls conn_commit() with what to do next, and that is done
 * at the end of the turn, after one write of all the turn's events.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "lib/event.h"
#include "lib/http1.h"
#include "lib/policy.h"
#include "lib/tuple.h"
#include "proxy/proxy.h"
#include "proxy/resolve.h"
#include "proxy/side.h"
#include "proxy/sigv4.h"
#include "proxy/tls.h"
#include "proxy/upstream.h"

enum conn_state {
	CONN_CLOSED = 0, /* zeroed memory, or buried; nothing to release */
	CONN_TUPLE,	 /* accepted; who is asking is not known yet; the client is not read */
	CONN_PROXY_HEAD, /* explicit proxy: collecting CONNECT or an absolute-form request */
	CONN_RESOLVE,	 /* layer 4 said yes to the name; its addresses are being asked for */
	CONN_SNIFF,	 /* first bytes awaited, to tell TLS from HTTP; client->in collects them */
	CONN_HANDSHAKE,	 /* only stream_handshake() may run with the client */
	CONN_REQUEST,	 /* collecting a request head */
	CONN_BODY,	 /* head is here; the body that a rule needs is being collected */
	CONN_DECIDED,	 /* judged; nothing happens before the log is on disk; client paused */
	CONN_CONNECT,	 /* a leg is being opened; client paused */
	CONN_EXCHANGE,	 /* request goes up, response comes down, each while the other has room */
	CONN_TUNNEL,	 /* after 101: frames both ways through the streams */
	CONN_H2,	 /* HTTP/2: each request is an inner connection of its own (front.h) */
	CONN_RELAY,	 /* uninspected bytes both ways, from socket to socket */
	CONN_DRAIN,	 /* the last answer is out; what the client still sends is thrown away */
	CONN_STATES,
};

/* Why a request is answered by us, and with what. */
struct refusal {
	unsigned int status;   /* 0: not refused */
	const char *error;     /* "policy_denied", "upstream_unreachable" … */
	enum decision_layer layer;
	bool is_denial;	       /* a decision of the policy, not a failure */
	bool is_stale;	       /* of a policy that is gone: told once more at most, the next one asks anew */
	char policy[128];      /* display name, "" for none */
	char detail[640];
	char reason[POLICY_REASON_MAX];
	char nearest[POLICY_REASON_MAX];
};

enum inject_body { INJECT_NO_BODY = 0, INJECT_TEXT, INJECT_FORM };
enum { INJECT_TAIL = 96 }; /* the longest spelling of a placeholder's beginning */

/* Placeholders in the request (inject.h). */
struct inject {
	bool is_wanted; /* there may be some in ex.head */
	bool has_scan;	/* bodies that stream through are looked at */
	enum inject_body body;
	size_t head_len;   /* of ex.head; the rest of it is body */
	char provider[64]; /* bound by the policy's word */
	enum sigv4_payload payload; /* with a service, the request is signed */
	char service[AWS_WORD_MAX + 1], region[AWS_WORD_MAX + 1], said[SIGV4_HASH_MAX + 1];
	char tail[INJECT_TAIL];
	size_t tail_len;
};

struct inference;
struct inference_pattern;

/* A request to a model (inference.h). */
struct inference_call {
	struct inference *on; /* the route; one reference */
	const struct inference_pattern *what;
	struct target *target; /* the route's server; one reference */
	uint64_t began_ms;
	uint64_t got; /* bytes of the answer */
	bool is_event_stream;
};

/* One HTTP/1 exchange; its parts live from the head of the request to the end of the response. */
struct exchange {
	char method[HTTP1_METHOD_MAX + 1]; /* the effective one */
	struct buf head;	/* the request as it goes up; kept, for the next generation asks */
	struct http1_body up, down;
	bool is_up_done, is_down_done, has_answer;
	bool keep_client;	/* the client's connection goes on afterwards */
	bool keep_leg;
	bool is_last_up; /* the server is told that nothing follows, and nothing does */
	bool is_upgrade;
	enum http1_framing down_framing; /* as the client gets it */
	unsigned int minor;	/* of the client */
	uint64_t sent_up;	/* bytes of body */
	bool has_retried;
	struct buf path;	/* canonical, for the log and for the next generation */
	size_t scan_up, scan_down;
	unsigned int n_interim; /* 1xx answers so far, and their size */
	size_t interim_bytes;
	struct inject inject;
	struct inference_call call;
};

struct front;
struct relay_way;
struct tunnel;

struct conn {
	struct side client;
	enum conn_state state;
	struct proxy *px;
	TAILQ_ENTRY(conn) link;	  /* proxy->conns */
	TAILQ_ENTRY(conn) commit; /* proxy->commits, while on_commit is set */
	TAILQ_ENTRY(conn) tuple;  /* proxy->tupleless, while has_no_tuple */
	void (*on_commit)(struct conn *c);
	uint32_t commit_round;
	struct timer deadline;
	struct timer again; /* more can be received that the kernel does not know of */

	/* The way here, for the tuple that says whose it is. */
	struct netaddr source;
	uint32_t source_port;
	bool has_no_tuple;

	/* Who asks; owned copies of the tuple. */
	enum tuple_mode mode;
	uint32_t pid;
	uint64_t cookie;
	char *binary, *denied;
	char *stack; /* --stacks: for the log */
	char **ancestors;
	char *ancestors_text;

	/* Where to, and how. */
	char host[URL_HOST_MAX + 1];
	uint16_t port;
	enum event_adapter adapter;
	struct policy *policy; /* one reference: decision strings live in it */
	uint32_t generation;
	struct carriage carriage;
	bool is_inspected; /* requests are parsed and judged */
	bool is_watched;   /* --audit lets it pass: inspected if it turns out to be TLS or HTTP */
	bool has_said_ok;  /* CONNECT was answered */
	bool is_tls;	   /* the client speaks TLS with us */
	bool is_passthrough; /* inspected for its placeholders alone: layer 4 was all the policy asked */
	bool is_advisor;   /* to http://policy.local, which is ours */
	bool is_inference; /* to https://inference.local: where the route says */
	bool is_forward;   /* absolute-form: each request names its own target */
	struct refusal *refusal; /* what every request on this connection is answered with; or NULL */
	struct target *target;
	struct leg *leg;
	struct resolve_query query;
	struct tls_hello hello;

	bool is_inner;	     /* one request of a client that speaks HTTP/2 */
	struct front *front; /* CONN_H2; owned */
	struct exchange ex;
	struct relay_way *relay; /* CONN_RELAY: two of them; owned */
	struct tunnel *tunnel;	 /* an upgrade was asked for; owned */
	bool has_said_continue;	 /* 100, for the body that is being collected */
	uint64_t guess_until_ms; /* CONN_BODY: audit waits for it so long; 0: it does not */
	bool has_waited;	 /* and has done so for this request */
	uint64_t bytes_up, bytes_down;
};

/* Takes an accepted socket whose tuple is not known yet. 0; on failure @fd is the caller's. */
int conn_new(struct proxy *px, int fd, struct conn **ret);
/* It waits for the tuple of this source, behind those that came before it. */
void conn_await_tuple(struct conn *c, const struct netaddr *source, uint32_t source_port);
/* The tuple arrived: the connection starts. Strings are copied. */
void conn_start(struct conn *c, const struct tuple *t);
/* Ends it at once. */
void conn_close(struct conn *c);
/* Ends it with RST, so that the client sees a refusal and no orderly end. */
void conn_reset(struct conn *c);
/* Ends it after what is pending has been sent, and waits a moment for the client to have read it. */
void conn_finish(struct conn *c);

/*
 * A connection within @outer's, for one request of it: the same identity, destination and policy,
 * and @stream (owned on success) instead of a socket. Ready for its request. 0 or -ENOMEM.
 */
int conn_new_inner(struct conn *outer, struct stream *stream, struct conn **ret);
/* What a socket's events are to others. */
void conn_poke(struct conn *c, uint32_t events);

/* The only way to change the state: checks the transition, sets the deadline. */
void conn_set_state(struct conn *c, enum conn_state state);
/* Runs @fn at the end of the turn, once the log holds every event of it. */
void conn_commit(struct conn *c, void (*fn)(struct conn *c));
/* Carries out the turn's commits; the loop's after-turn hook. */
void conns_commit_all(struct proxy *px);

/* The event with everything known about @c; adapter and host are the connection's. */
struct event conn_event(const struct conn *c);

enum { CONN_AUTHORITY_MAX = URL_HOST_MAX + sizeof("[]:65535") };
/* Where it goes to, as a URL has it: host:port, IPv6 in brackets. Returns @ret. */
const char *conn_authority(const struct conn *c, char ret[CONN_AUTHORITY_MAX]);
/* Remembers why every request on this connection will be refused. -ENOMEM. */
int conn_refuse(struct conn *c, const struct refusal *r);

/* From upstream.c. */
enum leg_failure { LEG_FAILED = 0, LEG_TLS_FAILED };
void conn_on_leg_ready(struct conn *c);
void conn_on_leg_failed(struct conn *c, enum leg_failure why, const char *text);
void conn_on_leg_event(struct conn *c, uint32_t events);

/* Requests are parsed: inspected endpoints and forward mode. */
static inline bool conn_is_http(const struct conn *c)
{
	return c->is_inspected || c->is_forward;
}

/* A new policy: closes @c if it is not allowed as it is; true when it was closed. */
bool conn_rejudge(struct conn *c, const struct generation *g);
