/*
 * Puts the connection's facts into an intent, asks policy_decide(), and writes the event. Nothing
 * else in the proxy decides or logs a decision.
 */
#pragma once

#include "lib/http1.h"
#include "lib/request.h"
#include "proxy/conn.h"
#include "proxy/inspect.h"

/* The intent of @c; addresses and request are the caller's to add. */
struct intent judge_intent(const struct conn *c);

/* Layer 4 and, when @addrs is given, what they reach. */
void judge_connection(struct conn *c, const struct netaddr *addrs, size_t n, struct decision *ret);
/* The same of what stands in the target, which another connection may have had checked. */
void judge_target(struct conn *c, struct decision *ret);
/* The event of a connection's decision; @addr may be NULL. */
void judge_log_connection(struct conn *c, const struct decision *d, const struct netaddr *addr);
/* One request; logs it with what @seen tells of its body. */
void judge_request(struct conn *c, const struct request *rq, const struct inspected *seen,
	struct decision *ret);
/* What anybody inside may ask: a connection (@method NULL) or a request to http://policy.local. */
void judge_log_advisor(struct conn *c, const char *method, const char *path);
/* To https://inference.local: a connection (@method NULL), a request that goes on, and its answer. */
void judge_log_inference(struct conn *c, const char *method, const char *path);
void judge_log_inference_answer(struct conn *c, unsigned int status);
/* Which credentials a request on its way out holds: @text. */
void judge_log_credentials(struct conn *c, const char *text);
/* A request on a connection whose requests policy does not judge. */
void judge_log_passthrough(struct conn *c, const char *method, const char *path);
/* A request that was refused before policy could be asked, or an upstream failure. */
void judge_log_refusal(struct conn *c, const struct refusal *r, const char *method,
	const char *path, const char *engine);

/* What @c's client is told about a decision. @method and @path are NULL for a connection. */
void judge_refusal(const struct conn *c, const struct decision *d, const char *method,
	const char *path, struct refusal *ret);
