#include "lib/inference.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/jsontext.h"
#include "lib/str.h"
#include "lib/url.h"

enum {
	OPENAI = 1 << INFERENCE_OPENAI,
	ANTHROPIC = 1 << INFERENCE_ANTHROPIC,
	BEDROCK = 1 << INFERENCE_BEDROCK,
};

/* --- what is recognised --- */

/* A path of the table: exact, or a beginning and an end with something between. */
static const struct {
	const char *method, *path, *end;
	bool is_one_segment;
	struct inference_pattern pattern;
} table[] = {
	{ "POST", "/v1/chat/completions", NULL, false,
		{ "openai_chat_completions", "chat_completion", true, true, OPENAI } },
	{ "POST", "/v1/completions", NULL, false, { "openai_completions", "completion", true, true, OPENAI } },
	{ "POST", "/v1/responses", NULL, false, { "openai_responses", "responses", true, true, OPENAI } },
	{ "POST", "/v1/embeddings", NULL, false, { "openai_embeddings", "embeddings", false, true, OPENAI } },
	{ "POST", "/v1/messages", NULL, false, { "anthropic_messages", "messages", true, true, ANTHROPIC } },
	{ "GET", "/v1/models", NULL, false,
		{ "model_discovery", "models_list", false, false, OPENAI | ANTHROPIC } },
	{ "GET", "/v1/models/", "", false, { "model_discovery", "models_get", false, false, OPENAI | ANTHROPIC } },
	{ "POST", "/model/", "/invoke", true, { "aws_bedrock_invoke", "messages", false, true, BEDROCK } },
};

/* A segment that names a model, and will be replaced: whatever is one segment to everybody. */
static bool is_segment(const char *s, size_t n)
{
	struct url_target t;
	char path[URL_PATH_MAX + 1];
	const char *why;

	if (!n || memchr(s, '/', n) || !str_format(path, sizeof(path), "/%.*s", (int)n, s))
		return false;
	/* Dots, parameters and what an escape hides: what is left has to be a segment still. */
	return url_canonicalize(path, n + 1, 0, &t, &why) == 0 && t.path_len > 1 && !strchr(t.path + 1, '/');
}

static bool is_canonical(const char *path, size_t n)
{
	struct url_target t;
	const char *why;

	return url_canonicalize(path, n, 0, &t, &why) == 0 && t.path_len == n && memcmp(t.path, path, n) == 0;
}

static bool path_is(size_t i, const char *path, size_t n)
{
	size_t begin = strlen(table[i].path), end = table[i].end ? strlen(table[i].end) : 0;

	if (n < begin + end || memcmp(path, table[i].path, begin) != 0)
		return false;
	if (!table[i].end)
		return n == begin;
	if (memcmp(path + n - end, table[i].end, end) != 0)
		return false;
	return table[i].is_one_segment ? is_segment(path + begin, n - begin - end) : is_canonical(path, n);
}

static size_t path_length(const char *target, size_t len)
{
	const char *query = memchr(target, '?', len);

	return query ? (size_t)(query - target) : len;
}

const struct inference_pattern *inference_match(const char *method, const char *target, size_t len)
{
	size_t n = path_length(target, len);

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (strcasecmp(method, table[i].method) == 0 && path_is(i, target, n))
			return &table[i].pattern;
	return NULL;
}

/* --- where it goes --- */

/* Parameters that change what is answered and not to whom: keys, for one, may stand in a query as well. */
static bool parameter_passes(const char *p, size_t n)
{
	static const char *const names[] = { "beta", "limit", "after", "after_id", "before_id" };
	const char *eq = memchr(p, '=', n);
	size_t name = eq ? (size_t)(eq - p) : n;

	for (size_t i = 0; i < n; i++)
		if (p[i] <= ' ' || p[i] > '~' || strchr("#[]\"<>\\^`{|}", p[i]))
			return false;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strlen(names[i]) == name && memcmp(names[i], p, name) == 0)
			return true;
	return false;
}

static int put_query(struct buf *out, const char *query, size_t len)
{
	char before = '?';
	int r = 0;

	while (len && r == 0) {
		const char *end = memchr(query, '&', len);
		size_t n = end ? (size_t)(end - query) : len;

		if (parameter_passes(query, n)) {
			r = buf_putc(out, before);
			before = '&';
			r = r == 0 ? buf_append(out, query, n) : r;
		}
		n += end != NULL;
		query += n;
		len -= n;
	}
	return r;
}

static int put_model_segment(struct buf *out, const char *model)
{
	int r = 0;

	for (; *model && r == 0; model++) {
		bool is_plain = (*model >= 'a' && *model <= 'z') || (*model >= 'A' && *model <= 'Z') ||
				(*model >= '0' && *model <= '9') || strchr("-_.~:", *model);

		r = is_plain ? buf_putc(out, *model) : buf_printf(out, "%%%02X", (unsigned char)*model);
	}
	return r;
}

int inference_path(struct buf *out, enum inference_style style, const char *base, const char *model,
	const char *target, size_t len)
{
	size_t n = path_length(target, len), skip = 0;
	int r = buf_puts(out, base);

	if (style == INFERENCE_BEDROCK) {
		r = r == 0 ? buf_puts(out, "/model/") : r;
		r = r == 0 ? put_model_segment(out, model) : r;
		return r == 0 ? buf_puts(out, "/invoke") : r;
	}
	if (style == INFERENCE_ANTHROPIC ? str_ends(base, "/v1") : base[0] != '\0')
		skip = strlen("/v1");
	if (r == 0)
		r = buf_append(out, target + skip, n - skip);
	return r == 0 && n < len ? put_query(out, target + n + 1, len - n - 1) : r;
}

bool inference_header_passes(const char *type, const char *name, size_t len)
{
	static const struct {
		const char *type, *name;
	} passing[] = {
		{ NULL, "accept" },
		{ "openai", "openai-organization" },
		{ "openai", "x-model-id" },
		{ "anthropic", "anthropic-version" },
		{ "anthropic", "anthropic-beta" },
		{ "nvidia", "x-model-id" },
		{ "deepinfra", "x-model-id" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(passing); i++)
		if ((!passing[i].type || str_eq(type, passing[i].type)) && strlen(passing[i].name) == len &&
			strncasecmp(name, passing[i].name, len) == 0)
			return true;
	return false;
}

/* --- the model --- */

bool inference_model_is_good(const char *model)
{
	size_t n = strlen(model);

	for (const char *p = model; *p; p++)
		if (*p <= ' ' || *p > '~')
			return false;
	return n > 0 && n <= INFERENCE_MODEL_MAX;
}

static int put_string(struct buf *out, const char *s)
{
	int r = buf_putc(out, '"');

	r = r == 0 ? str_json_escape(out, s, strlen(s)) : r;
	return r == 0 ? buf_putc(out, '"') : r;
}

/* Behind the string that begins at @i. What is walked here was parsed before: it is well-formed. */
static size_t behind_string(const char *s, size_t len, size_t i)
{
	for (i++; i < len && s[i] != '"'; i++)
		i += s[i] == '\\';
	return i + 1;
}

/* Behind the value that begins at @i: at the comma or the bracket that ends it. */
static size_t behind_value(const char *s, size_t len, size_t i)
{
	size_t depth = 0;

	while (i < len) {
		if (s[i] == '"') {
			i = behind_string(s, len, i);
			continue;
		}
		if (!depth && (s[i] == ',' || s[i] == '}'))
			break;
		depth += s[i] == '{' || s[i] == '[';
		depth -= s[i] == '}' || s[i] == ']';
		i++;
	}
	return i;
}

static size_t behind_blanks(const char *s, size_t len, size_t i)
{
	while (i < len && strchr(" \t\r\n", s[i]))
		i++;
	return i;
}

/* A key may be written with escapes. 1, 0, -ENOMEM. */
static int key_is_model(const char *s, size_t len)
{
	json_t *key;
	int is;

	if (!memchr(s, '\\', len))
		return len == strlen("\"model\"") && memcmp(s, "\"model\"", len) == 0;
	key = jsontext_load(s, len, JSON_DECODE_ANY, NULL);
	if (!key)
		return -ENOMEM;
	is = str_eq(json_string_value(key), "model");
	json_decref(key);
	return is;
}

/* The value of the object's own "model": 1 and where it is; 0: it has none; -ENOMEM. */
static int find_model(const char *s, size_t len, size_t i, size_t *ret_from, size_t *ret_to)
{
	while (i < len && s[i] != '}') {
		size_t key = behind_blanks(s, len, i + 1), colon;
		int is;

		if (key >= len || s[key] != '"')
			return 0;
		i = behind_string(s, len, key);
		is = key_is_model(s + key, i - key);
		colon = behind_blanks(s, len, i);
		*ret_from = behind_blanks(s, len, colon + 1);
		i = *ret_to = behind_value(s, len, *ret_from);
		if (is != 0)
			return is;
	}
	return 0;
}

/* Only its bytes are of use: numbers, for one, would not survive being read. */
static int check_body(const char *body, size_t len, const char **ret_why)
{
	static const char *const keys[] = { "model", NULL };
	json_t *v = NULL;
	int r = jsontext_parse(body, len, &v, ret_why);

	if (r < 0)
		return r;
	if (!json_is_object(v)) {
		*ret_why = "the body is not a JSON object";
		r = -EBADMSG;
	} else if (jsontext_has_lookalike(v, keys)) {
		*ret_why = "the body has a key that some servers take for \"model\"";
		r = -EBADMSG;
	}
	json_decref(v);
	return r;
}

int inference_set_model(
	struct buf *out, const char *body, size_t len, const char *model, const char **ret_why)
{
	size_t start = behind_blanks(body, len, 0), from = 0, to = 0;
	int r = check_body(body, len, ret_why), has;

	if (r < 0)
		return r;
	has = find_model(body, len, start, &from, &to);
	if (has < 0)
		return has;
	if (!has)
		from = to = start + 1;
	r = buf_append(out, body, from);
	if (r == 0 && !has)
		r = buf_puts(out, "\"model\":");
	if (r == 0)
		r = put_string(out, model);
	if (r == 0 && !has && body[behind_blanks(body, len, to)] != '}')
		r = buf_putc(out, ',');
	return r == 0 ? buf_append(out, body + to, len - to) : r;
}
