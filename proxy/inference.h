/*
 * https://inference.local: requests to models, on the way that the operator's route says.
 *
 * To exchange.c a connection there is one like any other, but what is asked is recognised here instead of judged
 * by policy, goes to the route's server instead of the host that was named, and gets its credential here, last of
 * all. The route comes from the supervisor; without one nothing is answered.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/msg.h"
#include "proxy/proxy.h"
#include "proxy/request.h"

struct conn;
struct http1_response;
struct inference;
struct inference_call;
struct target;

/* PROXY_INFERENCE: from now on this route; no bytes: none. 0, -EPROTO, -ENOMEM. */
int inference_on_message(struct proxy *px, struct msg_in *m);

/* Whether @host:@port is it. */
bool inference_is(const char *host, uint16_t port);

/* As request_judge(): recognised, its body collected and its model replaced; logged. */
enum request_outcome inference_judge(struct conn *c, struct judged *j, const char **rest, size_t *len);
/* The head as it goes up, without a credential, into ex.head. 0 or -errno. */
int inference_write(struct conn *c, const struct judged *j);
/* Finds the route's server and opens a leg to it: exchange_dial(), or the request is answered with why not. */
void inference_open(struct conn *c);
/* The last gate: whether the addresses in @t are for @c's route. */
bool inference_may_dial(const struct conn *c, const struct target *t);
/* Writes ex.head with its credential, as side_send() does; -EACCES: it was refused after all. */
int inference_send(struct conn *c);
/* The head of the answer is here: logged; false when it was answered in its place. */
bool inference_on_answer(struct conn *c, struct http1_response *rs);
/* How long may pass before the next byte. */
uint64_t inference_patience_ms(const struct conn *c);
/* An event stream that breaks off tells why in a line of its own; false when this is none. */
bool inference_end_stream(struct conn *c, const char *why);
/* Forgets the route that a request was sent on. */
void inference_call_done(struct inference_call *call);
