/*
 * A policy as it was written: the whole schema as plain structures, each value with its place in
 * the text. This is what is checked, compiled, compared, merged and written out again; what it
 * means is policy.h's business.
 *
 * Nothing is defaulted here: an absent string is NULL, an absent list has is_set false. Everything
 * lives in the document's arena, so a value is replaced by pointing to a new one
 * (policy_doc_string(), policy_doc_grow()) and nothing is freed but the whole.
 *
 * The one table that says which keys exist is in policy_doc.c; policy_doc_fields() reads it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/policy.h"
#include "lib/yaml.h"

struct doc_str {
	const char *text; /* NULL: absent */
	struct yaml_pos pos;
};

struct doc_bool {
	bool is_set, value;
	struct yaml_pos pos;
};

struct doc_int {
	bool is_set;
	struct yaml_pos pos;
	int64_t value;
};

/* Every list and every map of the schema: the entries in the order of the text. */
#define DOC_LIST(name, type)                                                                       \
	struct name {                                                                              \
		type *list;                                                                        \
		size_t n;                                                                          \
		bool is_set; /* written, though perhaps empty */                                   \
		struct yaml_pos pos;                                                               \
	}

DOC_LIST(doc_strs, struct doc_str);
DOC_LIST(doc_ints, struct doc_int);

/* How every structure below begins. */
struct doc_head {
	bool is_set;
	struct yaml_pos pos;
	struct doc_str key; /* entries of a map: the key; else absent */
};

/* A string, {any: [...]} or {glob: "..."}. */
struct doc_matcher {
	struct doc_head head;
	bool is_any;		/* {any: ...} */
	bool is_glob;		/* {glob: ...} */
	struct doc_strs values; /* one, unless is_any */
};
DOC_LIST(doc_matchers, struct doc_matcher);

/* What an allow or a deny rule may say; which of it belongs to which protocol is checked later. */
struct doc_rule {
	struct doc_head head;
	struct doc_str method, path, command;
	struct doc_matchers query; /* by parameter name */
	struct doc_str operation_type, operation_name;
	struct doc_strs fields;
	struct doc_matcher tool;
	struct doc_matchers params; /* by dotted name; "name" is the only one supported */
};
DOC_LIST(doc_rules, struct doc_rule);

struct doc_allow { /* an element of rules: */
	struct doc_head head;
	struct doc_rule allow; /* head.is_set false: there was none */
};
DOC_LIST(doc_allows, struct doc_allow);

struct doc_persisted { /* graphql_persisted_queries: by id or hash */
	struct doc_head head;
	struct doc_str operation_type, operation_name;
	struct doc_strs fields;
};
DOC_LIST(doc_persisteds, struct doc_persisted);

struct doc_json_rpc {
	struct doc_head head;
	struct doc_int max_body_bytes;
};

struct doc_mcp {
	struct doc_head head;
	struct doc_int max_body_bytes;
	struct doc_bool strict_tool_names, allow_all_known_mcp_methods;
};

struct doc_credential_binding {
	struct doc_head head;
	struct doc_str provider;
};

struct doc_endpoint {
	struct doc_head head;
	struct doc_str host;
	struct doc_int port;
	struct doc_ints ports;
	struct doc_str path, protocol, tls, enforcement, access;
	struct doc_allows rules;
	struct doc_rules deny_rules;
	struct doc_strs allowed_ips;
	struct doc_bool allow_encoded_slash;
	struct doc_bool websocket_credential_rewrite, request_body_credential_rewrite;
	struct doc_bool allow_uninspected_credentials;
	struct doc_str persisted_queries;
	struct doc_persisteds graphql_persisted_queries;
	struct doc_int graphql_max_body_bytes;
	struct doc_json_rpc json_rpc;
	struct doc_mcp mcp;
	struct doc_str credential_signing, signing_service, signing_region;
	struct doc_credential_binding credential_binding;
};
DOC_LIST(doc_endpoints, struct doc_endpoint);

struct doc_binary {
	struct doc_head head;
	struct doc_str path;
	struct doc_bool harness; /* deprecated, ignored */
};
DOC_LIST(doc_binaries, struct doc_binary);

struct doc_network_policy {
	struct doc_head head;
	struct doc_str name;
	struct doc_endpoints endpoints;
	struct doc_binaries binaries;
};
DOC_LIST(doc_network_policies, struct doc_network_policy);

struct doc_selector {
	struct doc_head head;
	struct doc_strs include, exclude;
};

struct doc_regex_config { /* of openshell/regex, the only middleware there is */
	struct doc_head head;
	struct doc_str mode;
};

struct doc_middleware {
	struct doc_head head;
	struct doc_str name, middleware, on_error;
	struct doc_int order;
	struct doc_regex_config config;
	struct doc_selector endpoints;
};
DOC_LIST(doc_middlewares, struct doc_middleware);

struct doc_filesystem {
	struct doc_head head;
	struct doc_bool include_workdir;
	struct doc_strs read_only, read_write;
};

struct doc_landlock {
	struct doc_head head;
	struct doc_str compatibility;
};

struct doc_process {
	struct doc_head head;
	struct doc_str run_as_user, run_as_group;
	struct doc_bool allow_user_namespaces; /* ours */
};

struct policy_doc {
	struct arena arena;
	struct doc_head head;
	struct doc_int version;
	struct doc_filesystem filesystem_policy;
	struct doc_landlock landlock;
	struct doc_process process;
	struct doc_network_policies network_policies;
	struct doc_middlewares network_middlewares;
};

/*
 * Reads YAML: syntax, known keys, types and ranges, nothing more. Every error goes to @findings
 * (which may be NULL). 0; -EINVAL when there were errors, -E2BIG for a text past a limit (reported
 * too), -ENOMEM. The caller frees with policy_doc_free().
 */
int policy_doc_parse(
	const char *text, size_t len, struct policy_doc **ret, struct policy_findings *findings);
/* An empty document to build in; NULL when out of memory. */
struct policy_doc *policy_doc_new(void);
void policy_doc_free(struct policy_doc *d); /* NULL is fine */

#define auto_policy_doc __attribute__((cleanup(cleanup_policy_doc)))
static inline void cleanup_policy_doc(struct policy_doc **d)
{
	policy_doc_free(*d);
}

/* A copy of @text that lives as long as the document, at no place; text NULL when out of memory. */
struct doc_str policy_doc_string(struct policy_doc *d, const char *text);
/*
 * Storage for @n + 1 elements with the first @n copied from @list (which stays as it was), the new
 * one zeroed; NULL when out of memory:  l.list = policy_doc_grow(d, l.list, l.n, sizeof(*l.list)).
 */
void *policy_doc_grow(struct policy_doc *d, const void *list, size_t n, size_t size);

/* Calls @each for every key the schema knows, "network_policies.*.endpoints[].host" and so on. */
void policy_doc_fields(void (*each)(void *opaque, const char *path), void *opaque);
