/*
 * Requests whose rules look into the body: GraphQL, JSON-RPC, MCP, and the openshell/regex
 * middleware; and bodies whose hash is signed.
 *
 * The body is collected whole, up to the endpoint's limit, before anything is decided; what goes
 * up afterwards is the body that was understood, with a length of its own.
 */
#pragma once

#include "lib/http1.h"
#include "lib/policy.h"
#include "lib/request.h"
#include "proxy/conn.h"

/* A body as it was collected and understood; valid until the next request is looked at. */
struct inspected {
	const char *data; /* as it goes up; NULL: it was not collected and streams through */
	size_t len;
	enum policy_protocol
		protocol;      /* what it was understood as; PROTOCOL_NONE: not looked into */
	const char *operation; /* for the log: what is asked for, without arguments; or NULL */
};

bool inspect_is_wanted(const struct inspection *in, const struct http1_request *rq);

/*
 * Looks at @rest (@len bytes after the head). 1: all is known, @rest moved past the body, @facts
 * and @ret are set; 0: more of the body is needed; -EMSGSIZE: beyond the limit; -EPERM: a
 * middleware cannot read it and fails closed; -EBADMSG, -ENOMEM, with the reason.
 */
int inspect_request(const struct inspection *in, const struct http1_request *rq, const char **rest,
	size_t *len, struct request *facts, struct inspected *ret, const char **ret_why);

/*
 * Audit: what a request seems to ask for, where no endpoint says what its body is. Only what an
 * endpoint of that protocol would understand counts as one: GraphQL and JSON-RPC in a POST of
 * application/json up to GUESS_BODY_MAX, GraphQL in a GET's query, a GET for an event stream. The
 * body is looked at where it lies and goes up as it came; what is larger, compressed, slow or
 * announced with Expect streams without being looked at.
 */
bool inspect_is_guessable(const struct http1_request *rq);
/* 1: @ret's operation and protocol are set, if it was understood; 0: more of the body is needed,
 * which is worth a wait of GUESS_MS; -ENOMEM. */
int inspect_guess(const struct http1_request *rq, const char *rest, size_t len,
	const struct request *facts, struct inspected *ret);

/* Whether a body may have streamed through although a middleware wanted it. */
bool inspect_may_be_missed(const struct inspection *in, const struct http1_request *rq);

/* Bytes that have to fit the client's buffer so that a whole body of this endpoint does. */
size_t inspect_body_max(const struct inspection *in, const struct http1_request *rq);

/* A client's text message: sets the facts of @facts that rules look at. 0, -ENOMEM. */
int inspect_message(const struct inspection *in, const char *text, size_t len,
	struct request *facts, const char **ret_operation);
/*
 * The message as it goes up: itself, or redacted. 0; -EPERM when it cannot be read and the
 * middleware fails closed; -ENOMEM.
 */
int inspect_redact(const struct inspection *in, const char *text, size_t len, const char **ret,
	size_t *ret_len);
