/*
 * One request, whichever HTTP version carried it: everything that is judged about it, in the order
 * in which it is judged, and the event.
 */
#pragma once

#include "lib/http1.h"
#include "lib/url.h"
#include "proxy/conn.h"
#include "proxy/inspect.h"

/* Large: there is one at a time, and it does not outlive the handler. Its slices point into the
 * head that was parsed. */
struct judged {
	struct http1_request rq; /* parsed by the caller; the rest is request_judge()'s */
	struct url_target target;
	struct url_query query;
	struct request facts;
	struct inspection inspection;
	struct inspected body;
	struct decision decision;
	struct refusal refusal; /* what the client is to be told, when it is refused */
};

enum request_outcome {
	REQUEST_REFUSED = 0, /* .refusal says why; it is in the log */
	REQUEST_INCOMPLETE,  /* rules look into the body, and some of it is missing */
	REQUEST_GUESSING,    /* audit looks into the body, and some of it is missing */
	REQUEST_ALLOWED,
};

/* @rest (@len bytes) is what is there of the body; moved past a body that was taken along. No
 * REQUEST_GUESSING once @c has waited for it. */
enum request_outcome request_judge(struct conn *c, struct judged *j, const char **rest, size_t *len);

/*
 * What c->policy, a newer one, says of the request that @sent (@len bytes) is: as it was written for the
 * server, with the body that was looked into. A body that went unseen and would have to be seen now counts
 * as not allowed. Asks and does not log; @ret_how is how the new policy looks at it.
 */
bool request_is_still_allowed(struct conn *c, const char *sent, size_t len, struct inspection *ret_how);

/* For a request that could not be parsed (@r as http1_request_parse() says). Logs. */
void request_unreadable(struct conn *c, struct judged *j, int r, const char *why);
/* Sets .refusal and logs it. */
void request_fault(struct conn *c, struct judged *j, unsigned int status, const char *error,
	const char *engine, const char *fmt, ...) __attribute__((format(printf, 6, 7)));

/* For answers and events, also when there was no sensible path. */
const char *request_path(const struct judged *j);
const char *request_method(const struct judged *j);

/* The request as it is written for the server; @own is used when it named no host. 0 or -EBADMSG. */
int request_to_send(const struct conn *c, const struct judged *j, struct http1_send *ret,
	struct url_authority *own);
