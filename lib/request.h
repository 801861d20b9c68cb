/*
 * What is known of one HTTP request or WebSocket message once it has been parsed: the input of
 * the layer 7 decision. Filled by the parsers (lib/http1.h, lib/http2 in the proxy, lib/graphql.h,
 * lib/jsonrpc.h), judged by policy_decide(). Holds no storage of its own: everything points into
 * memory of whoever parsed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct query_param {
	const char *name;  /* percent-decoded, "+" as space; a NUL is held as C0 80 (lib/url.h) */
	const char *value; /* the same; "" when there was no "=" */
};

enum graphql_type { GRAPHQL_NONE = 0, GRAPHQL_QUERY, GRAPHQL_MUTATION, GRAPHQL_SUBSCRIPTION };

struct graphql_op {
	enum graphql_type type;	  /* NONE: a persisted query sent without its text */
	const char *name;	  /* NULL: anonymous */
	const char *const *fields; /* root fields, aliases resolved, fragments expanded */
	size_t n_fields;
	bool is_persisted;
	const char *persisted_hash; /* sha256Hash, or NULL */
	const char *persisted_id;   /* id, or NULL */
	bool is_ambiguous; /* an id stands beside a document, a hash or another id: servers differ in what they run */
};

struct graphql_facts {
	const struct graphql_op *ops;
	size_t n_ops;
	const char *error; /* why the body was not understood; then nothing else counts */
	bool is_control;   /* GraphQL over WebSocket: ping, pong, complete …: no operation */
};

struct jsonrpc_call {
	const char *method;
	const char *tool; /* MCP tools/call: params.name; else NULL */
};

struct jsonrpc_facts {
	const struct jsonrpc_call *calls;
	size_t n_calls;
	bool is_batch;
	bool has_response;   /* a response object among the messages */
	bool receive_stream; /* MCP: GET, Accept: text/event-stream, no body */
	const char *error;
};

struct request {
	const char *method;	       /* as sent; "WEBSOCKET_TEXT" for a client text message */
	const char *path;	       /* canonical (lib/url.h), without the query */
	const struct query_param *query;
	size_t n_query;
	bool is_websocket_upgrade;     /* a valid upgrade; the method is GET */
	const struct graphql_facts *graphql; /* only where the endpoint inspects GraphQL */
	const struct jsonrpc_facts *jsonrpc; /* only where the endpoint inspects JSON-RPC or MCP */
};
