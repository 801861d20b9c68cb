/*
 * What a GraphQL, JSON-RPC or MCP request asks for, as the log has it in one string, and read back
 * by `policy learn`:
 *
 *	query Viewer{viewer,rate} mutation{addStar}	GraphQL: type, name, root fields
 *	tools/call search, ping				JSON-RPC, MCP: method, tool
 *	(response), (event stream)			what is no call
 *
 * No arguments and no values, which may be secrets. A name that could be read as something else
 * stands in quotes, and what does not fit ends with an ellipsis: neither is read back.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/request.h"

enum { OPERATION_TEXT_MAX = 1024 };

#define OPERATION_RESPONSE "(response)"
#define OPERATION_STREAM   "(event stream)"

void operation_of_graphql(char ret[OPERATION_TEXT_MAX], const struct graphql_facts *f);
/* "" when there is nothing to say. */
void operation_of_jsonrpc(char ret[OPERATION_TEXT_MAX], const struct jsonrpc_facts *f);

/* Slices of the text that is read. */
struct operation {
	const char *type; /* GraphQL: "query" …, else empty */
	size_t type_len;
	const char *name; /* GraphQL: may be empty; else the method, or what is no call */
	size_t name_len;
	const char *
		detail; /* GraphQL: root fields, separated by commas; else the tool, may be empty */
	size_t detail_len;
};

/*
 * The operation at *@text, which moves behind it. False at the end, where *@text is "", and where
 * something cannot be read.
 */
bool operation_next_graphql(const char **text, struct operation *ret);
bool operation_next_jsonrpc(const char **text, struct operation *ret);
