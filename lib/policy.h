/*
 * What a policy means.
 *
 * A policy is text that a person wrote (YAML), read once into a `struct policy`: immutable,
 * compiled, one generation. Everything that is decided is decided by policy_decide(): the
 * supervisor asks it about connections, the proxy about connections and requests, `policy eval`
 * about both. It allocates nothing, does no I/O, and its cost does not grow with the number of
 * endpoints that cannot match.
 *
 * The rules, in short (openshell-upstream.md sections 2 and 3, with compat.md):
 *
 *  Layer 4. A connection is allowed when some policy has an endpoint whose host and port match and
 *  a binary that matches the caller's executable or one of its ancestors. No binaries: nothing
 *  matches. The policy reported is the one with the smallest map key. Executables are known by
 *  their real path; lib/policy_resolve.h adds what a policy's symbolic links lead to.
 *
 *  SSRF. Once resolved, every address must be one the endpoint may reach: loopback, link-local
 *  and the like never; private ranges only for a host the user wrote out in full or an address
 *  inside `allowed_ips`; wildcards reach public addresses only.
 *
 *  Layer 7. On endpoints with a `protocol`, each request needs an allow rule among all matching
 *  endpoints, and no deny rule. `enforcement: audit` turns a denial into VERDICT_AUDIT, except
 *  where the request could not be understood.
 *
 * Zero is deny: a zeroed struct decision refuses.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/aws.h"
#include "lib/err.h"
#include "lib/netaddr.h"
#include "lib/request.h"

struct barred;

struct policy;

enum { POLICY_TEXT_MAX = 16 * 1024 * 1024, POLICY_REASON_MAX = 512 };

/* What a check found, in the order of the file. */
enum policy_severity { POLICY_ERROR = 0, POLICY_WARNING };

struct policy_finding {
	enum policy_severity severity;
	unsigned int line, column; /* from 1; 0 when no place fits */
	char *field;		   /* "network_policies.github.endpoints[0].host", or "" */
	char *text;
};

struct policy_findings {
	struct policy_finding *list;
	size_t n;
	size_t n_errors;
	size_t n_refusals; /* of the errors: the meaning is clear, but it is not accepted */
};

void policy_findings_done(struct policy_findings *f);

/*
 * Reads, validates and compiles. Every error is reported (up to a bound), warnings too. On success
 * 0 and a policy with one reference; -EINVAL when there are errors (@ret untouched), -ENOMEM.
 * @findings may be NULL.
 */
int policy_load(const char *text, size_t len, struct policy **ret, struct policy_findings *findings);
/*
 * For `policy eval` alone: also compiles a policy that policy_load() refuses as long as its words
 * and patterns mean something (endpoints that contradict each other, a pattern where only a name is
 * accepted), so that one can ask what it would do. The errors are in @findings all the same.
 */
int policy_load_refused(const char *text, size_t len, struct policy **ret,
	struct policy_findings *findings);
struct policy *policy_ref(struct policy *p);
/* NULL is fine. */
void policy_unref(struct policy *p);

/* The first error as one line "line:column: field: text" for a place that wants just one. */
void policy_findings_to_err(const struct policy_findings *f, const char *file, struct err *err);

/* The policy a sandbox starts with when none is given: files only, no network. */
extern const char policy_default_yaml[];

/* Static sections: what the supervisor builds the sandbox from. */
struct policy_static {
	bool has_filesystem, has_landlock, has_process; /* the section was written */
	bool include_workdir;
	const char *const *read_only; /* NULL-terminated, lexically normalised */
	const char *const *read_write;
	bool landlock_required; /* compatibility: hard_requirement */
	const char *run_as_user; /* NULL, "sandbox" or digits */
	const char *run_as_group;
	bool allow_user_namespaces;
};

const struct policy_static *policy_static(const struct policy *p);

enum verdict { VERDICT_DENY = 0, VERDICT_AUDIT, VERDICT_ALLOW };
enum decision_layer { LAYER_L4 = 0, LAYER_SSRF, LAYER_L7, LAYER_HTTP };

enum policy_protocol {
	PROTOCOL_NONE = 0, /* layer 4: relayed, not inspected */
	PROTOCOL_TCP,
	PROTOCOL_REST,
	PROTOCOL_WEBSOCKET,
	PROTOCOL_GRAPHQL,
	PROTOCOL_JSON_RPC,
	PROTOCOL_MCP,
	PROTOCOL_SQL,
};

/* One question. Fields that are not known yet stay zero. */
struct intent {
	const char *host;     /* canonical: lower case, no trailing dot, no brackets */
	uint16_t port;
	const char *binary;   /* NULL: unknown, which denies */
	const char *const *ancestors; /* NULL or NULL-terminated, nearest first */
	const char *identity_error; /* not NULL: the identity was refused, and why; denies */
	const struct barred *barred; /* --deny: closed whatever the policy says; or NULL */

	const struct netaddr *addrs;  /* what the name resolved to; NULL: not resolved yet */
	size_t n_addrs;
	const struct netaddr *own_addrs; /* those of them that are the host's own: internal
					      wherever they lie */
	size_t n_own_addrs;

	const struct request *request; /* NULL: the connection alone is judged */
};

/* How the connection is to be carried, when layer 4 allowed it. */
struct carriage {
	bool is_inspected; /* some matching endpoint has an HTTP protocol */
	bool tls_skip;	   /* never touch TLS: relay */
	bool is_signed;	   /* requests are, whether or not rules look into them */
	bool allow_uninspected_credentials; /* relayed although a credential is bound to it */
	bool allow_encoded_slash; /* of the endpoint that the path selects (policy_select) */
};

struct decision {
	enum verdict verdict;
	enum decision_layer layer;
	const char *policy;	 /* its display name, or NULL; lives as long as the policy */
	const char *policy_key;	 /* its map key, or NULL */
	int endpoint;		 /* index in the policy, -1 none */
	int rule;		 /* index among rules (or deny_rules, see is_deny_rule), -1 none */
	bool is_deny_rule;
	bool is_barred; /* --deny refused it: audit does not lift that */
	struct carriage carriage;
	char reason[POLICY_REASON_MAX];	 /* why not; empty when allowed */
	char nearest[POLICY_REASON_MAX]; /* the rule that almost allowed it, and in what it differs */
};

/*
 * The decision: pure, no allocation, no I/O. A request on an endpoint that is not inspected is
 * denied (there are no rules for it): whoever relays a connection uninspected has no request.
 */
void policy_decide(const struct policy *p, const struct intent *in, struct decision *ret);

/*
 * What must be looked at in a request to @in->host:@in->port by @in->binary with this canonical
 * path, before policy_decide() can judge it. The most specific matching endpoint decides.
 */
struct inspection {
	enum policy_protocol protocol;
	bool is_enforcing;
	bool allow_encoded_slash;
	size_t body_max;	/* GraphQL, JSON-RPC, MCP: bytes of body to collect; else 0 */
	bool websocket_graphql; /* client text messages carry GraphQL operations */
	bool websocket_text;	/* client text messages must be judged one by one */
	bool mcp_strict_tool_names;
	bool rewrite_body, rewrite_websocket; /* credentials' placeholders are replaced there too */
	struct signing signing; /* its words live as long as the policy */
	const char *credential_provider; /* whose credentials are bound to it by name; or NULL; lives as
					    long as the policy */
	bool redact;		/* an openshell/regex middleware applies to this host */
	bool redact_may_fail;	/* all of them fail open: what they cannot read passes as it is */
};

/* False when no inspected endpoint matches: then @ret is zero, but for how requests are signed. */
bool policy_select(const struct policy *p, const struct intent *in, const char *path,
	struct inspection *ret);
