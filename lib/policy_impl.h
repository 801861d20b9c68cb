/*
 * A compiled policy. Private to lib/policy_*.c.
 *
 * Groups (network policies) are sorted by map key, so the smallest index is the policy that gets
 * reported. Endpoints are found through an index of host suffixes, see policy_index.c. Strings and
 * arrays live in the policy's arena; globs are kept in one list to be freed.
 */
#pragma once

#include "lib/arena.h"
#include "lib/glob.h"
#include "lib/netaddr.h"
#include "lib/policy.h"
#include "lib/policy_doc.h"

/* Alternatives, one of which must match. */
struct matcher {
	const char *key; /* query parameter; else NULL */
	struct glob **globs;
	size_t n;
};

enum rule_type {
	RULE_TYPE_NONE = 0,
	RULE_TYPE_ANY,
	RULE_TYPE_QUERY,
	RULE_TYPE_MUTATION,
	RULE_TYPE_SUBSCRIPTION
};

struct rule {
	int number;		  /* in the list as written; -1: from an access preset */
	const char *method;	  /* NULL: none */
	struct glob *method_glob; /* MCP only */
	struct glob *path;	  /* NULL: matches nothing, unless any_path */
	bool any_path;
	struct matcher *query;
	size_t n_query;
	enum rule_type type;	/* GraphQL; NONE: not a GraphQL rule */
	struct glob *operation; /* GraphQL operation name; NULL: any, also none */
	struct matcher fields;	/* GraphQL root fields; n 0: any */
	struct matcher tool;	/* MCP tool; n 0: none given */
};

struct persisted {
	const char *id;
	struct graphql_op op;
};

struct group;

struct endpoint {
	const struct group *group;
	int number;		/* in the policy as written */
	const char *host;	/* as written, canonical when exact; "" when there is none */
	struct glob *host_glob; /* NULL: exact, or no host */
	bool is_ip;
	struct netaddr ip; /* is_ip */
	uint16_t *ports;
	size_t n_ports;
	enum policy_protocol protocol;
	bool tls_skip, is_enforcing, allow_encoded_slash;
	bool allow_uninspected_credentials, rewrite_body, rewrite_websocket;
	const char *credential_provider; /* NULL: none */
	struct signing signing;
	const char *path;	  /* as written, "" when there is none */
	struct glob *path_select; /* NULL: every path */
	struct glob *path_rule;	  /* NULL: every path */
	size_t specificity;	  /* of path: the longest literal wins */
	struct rule *rules, *deny_rules;
	size_t n_rules, n_deny;
	struct netprefix *allowed_ips;
	size_t n_allowed_ips;
	size_t body_max;
	struct persisted *persisted;
	size_t n_persisted;
	bool allow_registered;
	bool websocket_graphql; /* some rule is about operations */
	bool mcp_strict_tool_names;
	bool mcp_all_methods;	 /* the profile */
	bool mcp_tools_narrowed; /* some allow rule names tools */
};

struct group {
	const char *key, *name;
	size_t doc_index;      /* in the document's network_policies */
	const char **binaries; /* literal, sorted */
	size_t n_binaries;
	struct glob **binary_globs;
	size_t n_binary_globs;
	struct endpoint *endpoints;
	size_t n_endpoints;
};

struct middleware {
	struct glob **include, **exclude;
	size_t n_include, n_exclude;
	const char *name;
	bool fail_open;
};

/*
 * Many wildcards under one suffix, to be found by what their names begin or end with: sorted by
 * that text. A host is looked up once for each length that occurs.
 */
struct wild_list {
	const struct endpoint **list;
	size_t n;
	uint16_t *lengths;
	size_t n_lengths;
};

/*
 * Many policies for one host: their endpoints by literal binary, sorted, and those of policies
 * that have patterns for binaries.
 */
struct caller_list {
	struct caller_entry {
		const char *binary;
		const struct endpoint *endpoint;
	} * list;
	size_t n;
	const struct endpoint **patterns;
	size_t n_patterns;
};

/* Endpoints of one host suffix on one port; port 0: on any. */
struct bucket {
	uint32_t hash;
	uint16_t port;
	bool is_used;
	const char *suffix; /* points into a host */
	size_t suffix_len;
	const struct endpoint **exact; /* the suffix is the whole host */
	const struct endpoint **wild;  /* host_glob decides; also those without a host */
	uint32_t n_exact, n_wild;
	uint32_t alloc_exact, alloc_wild; /* while building */
	struct caller_list *by_caller;	  /* of exact; NULL: few, look at all */
	struct wild_list *by_text;	  /* [0] by prefix, [1] by tail; NULL: few, look at all */
	const struct endpoint *sample;	  /* port 0: some endpoint below this suffix */
};

struct policy {
	unsigned int refs;
	struct arena arena;
	struct policy_static statics;
	struct group *groups;
	size_t n_groups;
	struct middleware *middlewares;
	size_t n_middlewares;
	struct bucket *buckets; /* open addressing; a power of two */
	size_t n_buckets, n_used;
	struct glob **globs; /* all of them, for the end */
	size_t n_globs, alloc_globs;
};

enum { POLICY_ARENA_MAX = 512 * 1024 * 1024, POLICY_BODY_DEFAULT = 65536, HOST_MAX = 253 };

/* Empty string and absence mean the same in upstream's schema. */
static inline bool doc_has(const struct doc_str *s)
{
	return s->text && s->text[0];
}

/* The protocol an endpoint names; PROTOCOL_NONE without one, -1 for an unknown word. */
int policy_protocol_parse(const char *text);
const char *policy_protocol_name(enum policy_protocol p);

/* An entry of allowed_ips: -EINVAL for none, -EPERM for one that touches what is always blocked. */
int policy_ip_parse(const char *text, struct netprefix *ret);

/* policy_check.c: everything that can be wrong with a document. */
void policy_check(const struct policy_doc *doc, struct policy_findings *f);
/* policy_overlap.c: endpoints that contradict each other. */
void policy_check_overlaps(
	const struct policy *p, const struct policy_doc *doc, struct policy_findings *f);
/* policy_compile.c: never fails for a document without errors but for memory. */
int policy_compile(const struct policy_doc *doc, struct policy **ret);
/* policy_index.c */
int policy_index_build(struct policy *p);

/* Steps over the endpoints that match host, port and binary of an intent. */
struct endpoint_walk {
	const struct policy *policy;
	const struct intent *in;
	uint16_t port; /* 0: any */
	bool ignore_binary;
	size_t host_len, at; /* the suffix being looked at begins here */
	const struct bucket *bucket;
	const struct endpoint *const *list; /* being stepped over, from next to end */
	const struct caller_entry *entries; /* or this */
	size_t next, end;
	unsigned int stage;	   /* which list of the bucket: see next_list() */
	size_t length;		   /* and which length of its wild_list */
	const struct group *group; /* the last one asked about, and the answer */
	bool group_matches;
	uint32_t hashes[HOST_MAX + 2];
};

void endpoint_walk_init(struct endpoint_walk *w, const struct policy *p, const struct intent *in);
const struct endpoint *endpoint_walk_next(struct endpoint_walk *w);
/* What stands under a suffix itself, or NULL. */
const struct bucket *policy_index_find(const struct policy *p, const char *suffix, uint16_t port);
/* Some endpoint whose host shares the longest suffix of two labels or more; NULL if none does. */
const struct endpoint *policy_index_sibling(const struct policy *p, const char *host);

bool group_has_binary(const struct group *g, const struct intent *in);

/* policy_rules.c: what one endpoint says about a request. */
enum ruling {
	RULING_NONE = 0, /* no rule applies */
	RULING_ALLOW,
	RULING_BLOCKED,	  /* a deny rule */
	RULING_MALFORMED, /* not understood, or forbidden whatever the rules: denied in audit too */
	RULING_UNREGISTERED, /* a persisted query nobody registered */
};

struct judgement {
	enum ruling ruling;
	const struct rule
		*rule;	 /* ALLOW, BLOCKED: which; NULL for a profile or a control message */
	const char *why; /* MALFORMED */
};

struct judgement endpoint_judge(const struct endpoint *e, const struct request *r);
/* Deny rules of method and path alone; they hold whatever the protocol of the request. */
const struct rule *endpoint_blocks(const struct endpoint *e, const struct request *r);
bool rule_matches_method(const struct rule *rule, const char *method, bool get_covers_head);
bool rule_matches_path(const struct rule *rule, const char *path);

/* HTTP inside: requests can be judged. */
bool policy_protocol_is_http(enum policy_protocol p);
