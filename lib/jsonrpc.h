/*
 * JSON-RPC 2.0 and MCP: what calls a request body makes.
 *
 * One message or a batch; a batch with one bad item is bad as a whole. In MCP mode known methods
 * must carry the parameters that their types require, and tool names may be held to
 * ^[A-Za-z0-9_.-]{1,128}$. What is not understood has facts.error set and nothing else.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/cleanup.h"
#include "lib/request.h"

struct http1_header;

enum {
	JSONRPC_CALLS_MAX = 1024,    /* messages in a batch */
	JSONRPC_TOOL_NAME_MAX = 128, /* with strict_tool_names */
};

struct jsonrpc_options {
	bool is_mcp;
	bool strict_tool_names;
};

/* Owns everything that its facts point at. */
struct jsonrpc;

/*
 * Looks at a whole request: headers (@list may be NULL), then the body. A GET without a body that
 * accepts text/event-stream is a receive stream. 0 or -ENOMEM; errors of the peer are facts.
 */
int jsonrpc_parse_request(const struct jsonrpc_options *opt, const char *method,
	const struct http1_header *list, size_t n, const char *body, size_t len,
	struct jsonrpc **ret);

/* The body alone. */
int jsonrpc_parse(
	const struct jsonrpc_options *opt, const char *body, size_t len, struct jsonrpc **ret);

/* Every message is one of MCP's: its methods, or a response, which plain JSON-RPC clients do not
 * send. */
bool jsonrpc_is_mcp(const struct jsonrpc_facts *f);

const struct jsonrpc_facts *jsonrpc_facts(const struct jsonrpc *j);
/* NULL is fine. */
void jsonrpc_free(struct jsonrpc *j);

DEFINE_CLEANUP(jsonrpc, jsonrpc_free)
#define auto_jsonrpc __attribute__((cleanup(cleanup_jsonrpc)))
