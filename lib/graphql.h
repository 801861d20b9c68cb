/*
 * GraphQL over HTTP and over WebSocket: which operations a request makes, and their root fields.
 *
 * POST: one envelope or a batch; GET: the query's parameters; WebSocket: graphql-transport-ws and
 * the older graphql-ws. What is not understood, or could be read as something else by a server,
 * has facts.error set and nothing else: GET with a body, POST whose URL carries a document too,
 * keys that differ in case only, another content type than JSON.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/cleanup.h"
#include "lib/request.h"

struct http1_header;

enum { GRAPHQL_BATCH_MAX = 256 /* operations in a batch */ };

/* Owns everything that its facts point at. */
struct graphql;

/*
 * A whole request: method, decoded query, headers (@list may be NULL), body. 0 or -ENOMEM; errors
 * of the peer are facts.
 */
int graphql_parse_request(const char *method, const struct query_param *query, size_t n_query,
	const struct http1_header *list, size_t n, const char *body, size_t len,
	struct graphql **ret);

/* The body of a POST alone. */
int graphql_parse_body(const char *body, size_t len, struct graphql **ret);

/* A client's text message. */
int graphql_parse_message(const char *text, size_t len, struct graphql **ret);

const struct graphql_facts *graphql_facts(const struct graphql *g);
/* WebSocket: the message's type when it is known ("subscribe", "ping" …), else NULL. */
const char *graphql_message_type(const struct graphql *g);
/* NULL is fine. */
void graphql_free(struct graphql *g);

DEFINE_CLEANUP(graphql, graphql_free)
#define auto_graphql __attribute__((cleanup(cleanup_graphql)))
