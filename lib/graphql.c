#include "lib/graphql.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/arena.h"
#include "lib/graphql_doc.h"
#include "lib/http1.h"
#include "lib/jsontext.h"
#include "lib/str.h"
#include "lib/url.h"

enum {
	ARENA_BASE = 64 * 1024,
	ARENA_PER_BYTE = 32, /* a field of one letter takes two bytes there, and 24 here */
};

struct graphql {
	struct graphql_facts facts;
	struct arena arena;
	struct graphql_op *ops;
	const char *message_type;
	json_t *root; /* strings point into it */
};

/* What one envelope says, wherever it was found. */
struct envelope {
	const char *query, *name, *id, *hash;
	size_t n_ids; /* how many names for an id are there */
};

static struct graphql *graphql_new(size_t len)
{
	struct graphql *g = calloc(1, sizeof(*g));

	if (g)
		arena_init(&g->arena, ARENA_BASE + ARENA_PER_BYTE * len);
	return g;
}

/* 0, for the answer is there: not understood. */
static int reject(struct graphql *g, const char *why)
{
	g->facts = (struct graphql_facts){ .error = why };
	return 0;
}

static bool is_blank(const char *s)
{
	return !s[strspn(s, " \t\r\n")];
}

static bool is_set(const char *s)
{
	return s && s[0];
}

/* Adds the operation of one envelope. -EBADMSG: facts.error says why. */
static int add_operation(struct graphql *g, const struct envelope *e)
{
	struct graphql_op *op = &g->ops[g->facts.n_ops];
	const char *why = NULL;
	int r = 0;

	if (e->query && !is_blank(e->query))
		r = graphql_doc_classify(&g->arena, e->query, strlen(e->query), e->name, op, &why);
	else if (is_set(e->hash) || e->id)
		op->name = e->name;
	else
		why = "request has no query document or persisted query identifier";
	if (r == -ENOMEM)
		return r;
	if (why) {
		(void)reject(g, why);
		return -EBADMSG;
	}
	op->persisted_hash = is_set(e->hash) ? e->hash : NULL;
	op->persisted_id = e->id;
	op->is_persisted = op->persisted_hash || op->persisted_id;
	op->is_ambiguous = e->n_ids > 1 || (e->n_ids && (op->type != GRAPHQL_NONE || op->persisted_hash));
	g->facts.n_ops++;
	return 0;
}

static int reserve_operations(struct graphql *g, size_t n)
{
	g->ops = arena_array(&g->arena, n, sizeof(*g->ops));
	g->facts.ops = g->ops;
	return g->ops ? 0 : -ENOMEM;
}

static const char *hash_of(json_t *extensions)
{
	json_t *pq = json_object_get(extensions, "persistedQuery");

	return json_string_value(json_object_get(pq, "sha256Hash"));
}

static bool is_ambiguous(const json_t *object)
{
	static const char *const keys[] = { "query", "operationName", "extensions", "id",
		"documentId", "queryId", "variables", NULL };
	static const char *const extension_keys[] = { "persistedQuery", NULL };
	static const char *const persisted_keys[] = { "sha256Hash", "version", NULL };
	json_t *extensions = json_object_get(object, "extensions");

	return jsontext_has_lookalike(object, keys) ||
	       jsontext_has_lookalike(extensions, extension_keys) ||
	       jsontext_has_lookalike(
		       json_object_get(extensions, "persistedQuery"), persisted_keys);
}

/* The first of the keys that is there decides, whatever its type. */
static void find_id(const json_t *object, struct envelope *e)
{
	static const char *const names[] = { "id", "documentId", "queryId" };
	const json_t *first = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const json_t *id = json_object_get(object, names[i]);

		first = first ? first : id;
		e->n_ids += id && !json_is_null(id);
	}
	e->id = json_string_value(first);
}

static int add_envelope(struct graphql *g, json_t *object)
{
	struct envelope e;

	if (!json_is_object(object)) {
		(void)reject(g, "batch item must be an object");
		return -EBADMSG;
	}
	if (is_ambiguous(object)) {
		(void)reject(g, "ambiguous keys in the envelope");
		return -EBADMSG;
	}
	e = (struct envelope){
		.query = json_string_value(json_object_get(object, "query")),
		.name = json_string_value(json_object_get(object, "operationName")),
		.hash = hash_of(json_object_get(object, "extensions")),
	};
	find_id(object, &e);
	return add_operation(g, &e);
}

static int add_batch(struct graphql *g, json_t *list)
{
	size_t n = json_array_size(list);
	int r;

	if (!n || n > GRAPHQL_BATCH_MAX)
		return reject(g, n ? "batch has too many operations" : "batch request is empty");
	r = reserve_operations(g, n);
	for (size_t i = 0; i < n && r == 0; i++)
		r = add_envelope(g, json_array_get(list, i));
	return r;
}

static int add_single(struct graphql *g, json_t *object)
{
	int r = reserve_operations(g, 1);

	return r < 0 ? r : add_envelope(g, object);
}

static int load_body(struct graphql *g, const char *body, size_t len)
{
	const char *why = NULL;
	int r;

	if (!len)
		return reject(g, "request body is empty");
	r = jsontext_parse(body, len, &g->root, &why);
	if (r == -EBADMSG) {
		why = arena_printf(&g->arena, "request body is not valid JSON: %s", why);
		return why ? reject(g, why) : -ENOMEM;
	}
	if (r < 0)
		return r;
	if (json_is_array(g->root))
		return add_batch(g, g->root);
	if (json_is_object(g->root))
		return add_single(g, g->root);
	return reject(g, "JSON envelope must be an object or array");
}

static int hand_over(struct graphql **from, int r, struct graphql **ret)
{
	if (r < 0 && r != -EBADMSG)
		return r;
	*ret = take_ptr(*from);
	return 0;
}

int graphql_parse_body(const char *body, size_t len, struct graphql **ret)
{
	auto_graphql struct graphql *g = graphql_new(len);

	return g ? hand_over(&g, load_body(g, body, len), ret) : -ENOMEM;
}

static const char *const parameters[] = { "query", "operationName", "extensions", "documentId", "queryId", "variables",
	"id" };

/* Two readers may find another value under a name than we do. */
static bool is_ambiguous_query(const struct query_param *query, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < ARRAY_SIZE(parameters); j++)
			if (url_param_may_be(query[i].name, parameters[j], true) &&
				strcmp(query[i].name, parameters[j]) != 0)
				return true;
	return false;
}

/* The only value of @name that is not empty, or NULL; -EBADMSG when it is there twice. */
static int unique(struct graphql *g, const struct query_param *query, size_t n, const char *name,
	const char **ret)
{
	const char *found = NULL;

	for (size_t i = 0; i < n; i++) {
		if (strcmp(query[i].name, name) != 0)
			continue;
		if (found) {
			(void)reject(g, "GET parameter must not appear more than once");
			return -EBADMSG;
		}
		found = query[i].value;
	}
	*ret = is_set(found) ? found : NULL;
	return 0;
}

static int unique_id(struct graphql *g, const struct query_param *query, size_t n, const char **ret)
{
	static const char *const names[] = { "id", "documentId", "queryId" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *id = NULL;
		int r = unique(g, query, n, names[i], &id);

		if (r < 0)
			return r;
		if (id && *ret) {
			(void)reject(g, "GET persisted query parameters must not be combined");
			return -EBADMSG;
		}
		*ret = id ? id : *ret;
	}
	return 0;
}

/* What does not parse names no persisted query; then there must be a document. */
static int load_extensions(struct graphql *g, const char *text, struct envelope *e)
{
	const char *why = NULL;
	int r = text ? jsontext_parse(text, strlen(text), &g->root, &why) : 0;

	if (r == 0)
		e->hash = hash_of(g->root);
	return r == -ENOMEM ? r : 0;
}

/* The caller's strings do not outlive the call; the facts must. */
static int keep(struct graphql *g, const char **s)
{
	if (!*s)
		return 0;
	*s = arena_strndup(&g->arena, *s, strlen(*s));
	return *s ? 0 : -ENOMEM;
}

static int load_query(struct graphql *g, const struct query_param *query, size_t n)
{
	const char *extensions = NULL;
	struct envelope e = { .query = NULL };
	int r;

	if (is_ambiguous_query(query, n))
		return reject(g, "GET parameter has a name that servers read in different ways");
	r = unique(g, query, n, "query", &e.query);
	if (r == 0)
		r = unique(g, query, n, "operationName", &e.name);
	if (r == 0)
		r = unique(g, query, n, "extensions", &extensions);
	if (r == 0)
		r = unique_id(g, query, n, &e.id);
	if (r == 0)
		r = load_extensions(g, extensions, &e);
	e.n_ids = e.id != NULL;
	if (r == 0)
		r = reserve_operations(g, 1);
	if (r == 0)
		r = keep(g, &e.name);
	if (r == 0)
		r = keep(g, &e.id);
	return r < 0 ? r : add_operation(g, &e);
}

/* Servers that look into the URL of a POST first would run another document than the body's. */
static bool url_has_document(const struct query_param *query, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < ARRAY_SIZE(parameters); j++)
			if (url_param_may_be(query[i].name, parameters[j], true))
				return true;
	return false;
}

/* @why: what speaks against reading the body, or NULL. */
static int load_request(struct graphql *g, const char *method, const struct query_param *query,
	size_t n_query, const char *why, const char *body, size_t len)
{
	if (strcasecmp(method, "GET") == 0)
		return len ? reject(g, "GET request has a body") : load_query(g, query, n_query);
	if (strcasecmp(method, "POST") != 0)
		return reject(g, "unsupported GraphQL HTTP method");
	if (url_has_document(query, n_query))
		return reject(g, "POST request has operation parameters in its URL");
	if (why)
		return reject(g, why);
	return load_body(g, body, len);
}

int graphql_parse_request(const char *method, const struct query_param *query, size_t n_query,
	const struct http1_header *list, size_t n, const char *body, size_t len,
	struct graphql **ret)
{
	const char *why = jsontext_check_headers(list, n, false);
	size_t size = len;
	int r;

	for (size_t i = 0; i < n_query; i++)
		size += strlen(query[i].value);
	auto_graphql struct graphql *g = graphql_new(size);
	if (!g)
		return -ENOMEM;
	r = load_request(g, method, query, n_query, why, body, len);
	return hand_over(&g, r, ret);
}

static const char *const control_types[] = { "connection_init", "connection_terminate", "ping",
	"pong", "complete", "stop" };

static int load_operation_message(struct graphql *g)
{
	json_t *payload = json_object_get(g->root, "payload");

	if (!is_set(json_string_value(json_object_get(g->root, "id"))))
		return reject(g, "operation message is missing non-empty id");
	if (!json_is_object(payload))
		return reject(g, "operation message is missing object payload");
	return add_single(g, payload);
}

static int load_message(struct graphql *g)
{
	static const char *const keys[] = { "type", "id", "payload", NULL };
	const char *type = json_string_value(json_object_get(g->root, "type"));

	if (!json_is_object(g->root))
		return reject(g, "message must be a JSON object");
	if (jsontext_has_lookalike(g->root, keys))
		return reject(g, "ambiguous keys in the message");
	if (!type)
		return reject(g, "message is missing string type");
	g->message_type = type;
	if (strcmp(type, "subscribe") == 0 || strcmp(type, "start") == 0)
		return load_operation_message(g);
	for (size_t i = 0; i < ARRAY_SIZE(control_types); i++) {
		if (strcmp(type, control_types[i]) == 0) {
			g->facts.is_control = true;
			return 0;
		}
	}
	return reject(g, "unsupported GraphQL WebSocket client message type");
}

int graphql_parse_message(const char *text, size_t len, struct graphql **ret)
{
	auto_graphql struct graphql *g = graphql_new(len);
	const char *why = NULL;
	int r;

	if (!g)
		return -ENOMEM;
	r = jsontext_parse(text, len, &g->root, &why);
	if (r == -EBADMSG)
		r = reject(g, "message is not valid JSON");
	else if (r == 0)
		r = load_message(g);
	return hand_over(&g, r, ret);
}

const struct graphql_facts *graphql_facts(const struct graphql *g)
{
	return &g->facts;
}

const char *graphql_message_type(const struct graphql *g)
{
	return g->message_type;
}

void graphql_free(struct graphql *g)
{
	if (!g)
		return;
	json_decref(g->root);
	arena_done(&g->arena);
	free(g);
}
