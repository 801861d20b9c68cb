#include "lib/jsonrpc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/arena.h"
#include "lib/http1.h"
#include "lib/jsontext.h"

enum { ARENA_MAX = 256 * 1024 };

struct jsonrpc {
	struct jsonrpc_facts facts;
	struct arena arena;
	json_t *root; /* names point into it */
};

/* What a parameter must be. */
enum type { STRING, OBJECT, NUMBER, TOKEN /* string or integer */ };

struct param {
	const char *name;
	enum type type;
	const struct param *fields; /* OBJECT: what it must have, or NULL */
};

#define PARAMS(...)                                                                                \
	(const struct param[])                                                                     \
	{                                                                                          \
		__VA_ARGS__,                                                                       \
		{                                                                                  \
			NULL, STRING, NULL                                                         \
		}                                                                                  \
	}

static const struct param name_and_version[] = { { "name", STRING, NULL },
	{ "version", STRING, NULL }, { NULL, STRING, NULL } };
static const struct param name_and_value[] = { { "name", STRING, NULL }, { "value", STRING, NULL },
	{ NULL, STRING, NULL } };

/* MCP's methods from client to server, up to the revision of 2025-11-25. */
static const struct known {
	const char *method;
	const struct param *params; /* required ones */
} known[] = {
	{ "initialize",
		PARAMS({ "protocolVersion", STRING, NULL }, { "capabilities", OBJECT, NULL },
			{ "clientInfo", OBJECT, name_and_version }) },
	{ "ping", NULL },
	{ "tools/list", NULL },
	{ "tools/call", PARAMS({ "name", STRING, NULL }) },
	{ "resources/list", NULL },
	{ "resources/templates/list", NULL },
	{ "resources/read", PARAMS({ "uri", STRING, NULL }) },
	{ "resources/subscribe", PARAMS({ "uri", STRING, NULL }) },
	{ "resources/unsubscribe", PARAMS({ "uri", STRING, NULL }) },
	{ "prompts/list", NULL },
	{ "prompts/get", PARAMS({ "name", STRING, NULL }) },
	{ "completion/complete",
		PARAMS({ "ref", OBJECT, NULL }, { "argument", OBJECT, name_and_value }) },
	{ "logging/setLevel", PARAMS({ "level", STRING, NULL }) },
	{ "tasks/get", PARAMS({ "taskId", STRING, NULL }) },
	{ "tasks/list", NULL },
	{ "tasks/result", PARAMS({ "taskId", STRING, NULL }) },
	{ "tasks/cancel", PARAMS({ "taskId", STRING, NULL }) },
	{ "notifications/initialized", NULL },
	{ "notifications/cancelled", NULL },
	{ "notifications/progress",
		PARAMS({ "progressToken", TOKEN, NULL }, { "progress", NUMBER, NULL }) },
	{ "notifications/roots/list_changed", NULL },
	{ "notifications/tasks/status", NULL },
};

static const struct known *find_known(const char *method)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(known[i].method, method) == 0)
			return &known[i];
	}
	return NULL;
}

static bool is_type(const json_t *v, enum type type)
{
	switch (type) {
	case STRING:
		return json_is_string(v);
	case OBJECT:
		return json_is_object(v);
	case NUMBER:
		return json_is_number(v);
	case TOKEN:
		return json_is_string(v) || json_is_integer(v);
	}
	return false;
}

static bool has_params(const json_t *object, const struct param *p)
{
	for (; p && p->name; p++) {
		const json_t *v = json_object_get(object, p->name);

		if (!is_type(v, p->type) || (p->fields && !has_params(v, p->fields)))
			return false;
	}
	return true;
}

static bool is_strict_tool_name(const char *name)
{
	size_t n =
		strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-");

	return n > 0 && n <= JSONRPC_TOOL_NAME_MAX && !name[n];
}

/*
 * @ret's method is set: checks the parameters and finds the tool. NULL, or what is wrong. A
 * tools/call without an id asks for no answer, but who knows whether it is carried out: its tool
 * counts like any other.
 */
static const char *check_mcp(
	const struct jsonrpc_options *opt, json_t *message, struct jsonrpc_call *ret)
{
	static const char *const keys[] = { "name", "uri", "level", "taskId", NULL };
	const struct known *k = find_known(ret->method);
	json_t *params = json_object_get(message, "params"), *id = json_object_get(message, "id");

	if (id && !is_type(id, TOKEN))
		return "MCP request id must be a string or an integer";
	if (k && !has_params(params, k->params))
		return "invalid MCP request params: a required field is missing or has another "
		       "type";
	if (jsontext_has_lookalike(params, keys))
		return "ambiguous keys in params";
	if (!k || strcmp(k->method, "tools/call") != 0)
		return NULL;
	ret->tool = json_string_value(json_object_get(params, "name"));
	if (opt->strict_tool_names && !is_strict_tool_name(ret->tool))
		return "MCP tool name must match ^[A-Za-z0-9_.-]{1,128}$ when strict_tool_names is "
		       "enabled";
	return NULL;
}

static const char *check_response(const json_t *message)
{
	const json_t *id = json_object_get(message, "id"),
		     *error = json_object_get(message, "error");

	if (json_object_get(message, "result") && error)
		return "JSON-RPC response includes both result and error";
	if (!id)
		return "JSON-RPC response missing id";
	if (!json_is_string(id) && !json_is_number(id) && !json_is_null(id))
		return "JSON-RPC response id must be string, number, or null";
	if (error && !json_is_object(error))
		return "JSON-RPC response error must be an object";
	return NULL;
}

static const char *check_version(const json_t *message)
{
	const char *version = json_string_value(json_object_get(message, "jsonrpc"));

	if (!version)
		return "missing or non-string 'jsonrpc' field";
	return strcmp(version, "2.0") == 0 ? NULL : "unsupported JSON-RPC version";
}

/* One message: NULL when understood (@ret->method stays NULL for a response), else why not. */
static const char *check_message(
	const struct jsonrpc_options *opt, json_t *message, struct jsonrpc_call *ret)
{
	static const char *const keys[] = { "jsonrpc", "method", "params", "id", "result", "error",
		NULL };
	bool is_response = json_object_get(message, "result") || json_object_get(message, "error");
	json_t *method = json_object_get(message, "method");
	const char *why = check_version(message);

	*ret = (struct jsonrpc_call){ .method = NULL };
	if (why)
		return why;
	if (jsontext_has_lookalike(message, keys))
		return "ambiguous keys in JSON-RPC message";
	if (method && is_response)
		return "JSON-RPC message includes both method and result/error";
	if (is_response)
		return check_response(message);
	ret->method = json_string_value(method);
	if (!ret->method)
		return "missing or non-string 'method' field";
	return opt->is_mcp ? check_mcp(opt, message, ret) : NULL;
}

/* The facts of something that was not understood. */
static void reject(struct jsonrpc *j, const char *why)
{
	j->facts = (struct jsonrpc_facts){ .is_batch = j->facts.is_batch, .error = why };
}

static int parse_batch(struct jsonrpc *j, const struct jsonrpc_options *opt)
{
	size_t n = json_array_size(j->root);
	struct jsonrpc_call *calls;

	j->facts.is_batch = true;
	if (!n || n > JSONRPC_CALLS_MAX) {
		reject(j, n ? "batch has too many messages" : "empty batch");
		return 0;
	}
	calls = arena_array(&j->arena, n, sizeof(*calls));
	if (!calls)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const char *why =
			check_message(opt, json_array_get(j->root, i), &calls[j->facts.n_calls]);

		if (why) {
			why = arena_printf(&j->arena, "batch item invalid: %s", why);
			reject(j, why);
			return why ? 0 : -ENOMEM;
		}
		if (calls[j->facts.n_calls].method)
			j->facts.n_calls++;
		else
			j->facts.has_response = true;
	}
	j->facts.calls = calls;
	return 0;
}

static int parse_single(struct jsonrpc *j, const struct jsonrpc_options *opt)
{
	struct jsonrpc_call *call = arena_alloc(&j->arena, sizeof(*call));
	const char *why;

	if (!call)
		return -ENOMEM;
	why = check_message(opt, j->root, call);
	if (why) {
		reject(j, why);
		return 0;
	}
	j->facts.has_response = !call->method;
	j->facts.calls = call;
	j->facts.n_calls = call->method ? 1 : 0;
	return 0;
}

static struct jsonrpc *jsonrpc_new(void)
{
	struct jsonrpc *j = calloc(1, sizeof(*j));

	if (j)
		arena_init(&j->arena, ARENA_MAX);
	return j;
}

int jsonrpc_parse(
	const struct jsonrpc_options *opt, const char *body, size_t len, struct jsonrpc **ret)
{
	auto_jsonrpc struct jsonrpc *j = jsonrpc_new();
	const char *why = NULL;
	int r;

	if (!j)
		return -ENOMEM;
	r = jsontext_parse(body, len, &j->root, &why);
	if (r == -EBADMSG)
		reject(j, why);
	else if (r == 0)
		r = json_is_array(j->root) ? parse_batch(j, opt) : parse_single(j, opt);
	if (r < 0 && r != -EBADMSG)
		return r;
	*ret = take_ptr(j);
	return 0;
}

/* Facts that need no body. */
static int without_body(struct jsonrpc **ret, bool receive_stream, const char *error)
{
	struct jsonrpc *j = jsonrpc_new();

	if (!j)
		return -ENOMEM;
	j->facts.receive_stream = receive_stream;
	j->facts.error = error;
	*ret = j;
	return 0;
}

int jsonrpc_parse_request(const struct jsonrpc_options *opt, const char *method,
	const struct http1_header *list, size_t n, const char *body, size_t len,
	struct jsonrpc **ret)
{
	const char *why;

	if (strcasecmp(method, "GET") == 0 && !len &&
		http1_has_media_type(list, n, HTTP1_ACCEPT, "text/event-stream"))
		return without_body(ret, true, NULL);
	why = jsontext_check_headers(list, n, true);
	return why ? without_body(ret, false, why) : jsonrpc_parse(opt, body, len, ret);
}

bool jsonrpc_is_mcp(const struct jsonrpc_facts *f)
{
	for (size_t i = 0; i < f->n_calls; i++)
		if (!find_known(f->calls[i].method))
			return false;
	return f->n_calls || f->has_response;
}

const struct jsonrpc_facts *jsonrpc_facts(const struct jsonrpc *j)
{
	return &j->facts;
}

void jsonrpc_free(struct jsonrpc *j)
{
	if (!j)
		return;
	json_decref(j->root);
	arena_done(&j->arena);
	free(j);
}
