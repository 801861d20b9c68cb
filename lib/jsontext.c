#include "lib/jsontext.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/http1.h"

/* Whether jansson was refused memory. */
static _Thread_local bool is_short_of_memory;

static void *allocate(size_t size)
{
	void *p = malloc(size);

	is_short_of_memory |= !p;
	return p;
}

/* The same allocator that jansson has anyway, but one that remembers. */
void jsontext_begin(void)
{
	json_set_alloc_funcs(allocate, free);
	is_short_of_memory = false;
}

bool jsontext_is_short(void)
{
	return is_short_of_memory;
}

json_t *jsontext_load(const char *text, size_t len, size_t flags, json_error_t *ret_error)
{
	json_t *v;

	jsontext_begin();
	v = json_loadb(text, len, flags, ret_error);
	if (!is_short_of_memory)
		return v;
	json_decref(v);
	if (ret_error)
		ret_error->text[JSON_ERROR_TEXT_LENGTH - 1] = (char)json_error_out_of_memory;
	return NULL;
}

/* JSON leaves DEL as it is, in ASCII too; a terminal does not. It stands in strings only. */
static char *escape_del(char *text)
{
	static const char escaped[] = "\\u007f";
	size_t n = 0, len = strlen(text);
	char *out, *to;

	for (const char *s = text; *s; s++)
		n += *s == 0x7f;
	if (!n)
		return text;
	out = to = malloc(len + n * (sizeof(escaped) - 2) + 1);
	for (const char *s = text; out && *s; s++)
		to = *s == 0x7f ? stpcpy(to, escaped) : stpncpy(to, s, 1);
	if (out)
		*to = '\0';
	free(text);
	return out;
}

char *jsontext_dumps(const json_t *v, size_t flags)
{
	char *text;

	jsontext_begin();
	text = json_dumps(v, flags);
	if (!is_short_of_memory)
		return text && flags & JSON_ENSURE_ASCII ? escape_del(text) : text;
	free(text);
	return NULL;
}

static int refuse(const char **ret_why, const char *why)
{
	*ret_why = why;
	return -EBADMSG;
}

/* Past the string that begins at @i: the index of its closing quote, or @len. */
static size_t skip_string(const char *text, size_t len, size_t i)
{
	for (i++; i < len && text[i] != '"'; i++) {
		if (text[i] == '\\')
			i++;
	}
	return i;
}

/* Before anything is allocated: depth, and the number of values from above. */
static int check_limits(const char *text, size_t len, const char **ret_why)
{
	size_t depth = 0, values = 1;

	for (size_t i = 0; i < len; i++) {
		switch (text[i]) {
		case '"':
			i = skip_string(text, len, i);
			break;
		case '[':
		case '{':
			if (++depth > JSONTEXT_DEPTH_MAX)
				return refuse(ret_why, "JSON is nested too deeply");
			values++;
			break;
		case ']':
		case '}':
			depth -= depth > 0;
			break;
		case ',':
			values++;
			break;
		default:
			break;
		}
		if (values > JSONTEXT_VALUES_MAX)
			return refuse(ret_why, "JSON has too many values");
	}
	return 0;
}

int jsontext_parse(const char *text, size_t len, json_t **ret, const char **ret_why)
{
	json_error_t error;
	json_t *v;
	int r = check_limits(text, len, ret_why);

	if (r < 0)
		return r;
	v = jsontext_load(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (v) {
		*ret = v;
		return 0;
	}
	switch (json_error_code(&error)) {
	case json_error_out_of_memory:
		return -ENOMEM;
	case json_error_duplicate_key:
		return refuse(ret_why, "JSON has a duplicate key");
	case json_error_null_byte_in_key:
	case json_error_null_character:
		return refuse(ret_why, "JSON has a NUL in a string");
	default:
		return refuse(ret_why, "invalid JSON");
	}
}

/* One folded character of @s, which is moved past it. */
static unsigned char folded(const char **s)
{
	const unsigned char *p = (const unsigned char *)*s;

	if (p[0] == 0xc5 && p[1] == 0xbf) {
		*s += 2;
		return 's';
	}
	if (p[0] == 0xe2 && p[1] == 0x84 && p[2] == 0xaa) {
		*s += 3;
		return 'k';
	}
	(*s)++;
	return p[0] >= 'A' && p[0] <= 'Z' ? p[0] | 0x20 : p[0];
}

static bool folds_to(const char *key, const char *known)
{
	while (*key && *known) {
		if (folded(&key) != folded(&known))
			return false;
	}
	return !*key && !*known;
}

static bool is_lookalike(const char *key, const char *const *keys)
{
	bool folds = false;

	for (; *keys; keys++) {
		if (strcmp(key, *keys) == 0)
			return false;
		folds = folds || folds_to(key, *keys);
	}
	return folds;
}

bool jsontext_has_lookalike(const json_t *object, const char *const *keys)
{
	json_t *o = (json_t *)object;

	for (void *i = json_object_iter(o); i; i = json_object_iter_next(o, i)) {
		if (is_lookalike(json_object_iter_key(i), keys))
			return true;
	}
	return false;
}

static bool equals(const char *s, size_t len, const char *word)
{
	return strlen(word) == len && strncasecmp(s, word, len) == 0;
}

static void trim(const char **s, size_t *len)
{
	for (; *len && ((*s)[0] == ' ' || (*s)[0] == '\t'); (*len)--)
		(*s)++;
	while (*len && ((*s)[*len - 1] == ' ' || (*s)[*len - 1] == '\t'))
		(*len)--;
}

static bool is_json_type(const char *s, size_t len, bool plain)
{
	static const char app[] = "application/";

	if (equals(s, len, "text/plain"))
		return plain;
	if (len < sizeof(app) || strncasecmp(s, app, sizeof(app) - 1) != 0)
		return false;
	s += sizeof(app) - 1;
	len -= sizeof(app) - 1;
	return equals(s, len, "json") || equals(s, len, "json-rpc") ||
	       equals(s, len, "jsonrequest") || (len > 5 && equals(s + len - 5, 5, "+json"));
}

/* Another charset, UTF-7 above all, could make other text of the same bytes. */
static bool is_utf8_param(const char *s, size_t len)
{
	static const char name[] = "charset=";

	trim(&s, &len);
	if (len < sizeof(name) - 1 || strncasecmp(s, name, sizeof(name) - 2) != 0)
		return !memchr(s, '"', len);
	if (s[sizeof(name) - 2] != '=')
		return false;
	s += sizeof(name) - 1;
	len -= sizeof(name) - 1;
	if (len >= 2 && s[0] == '"' && s[len - 1] == '"') {
		s++;
		len -= 2;
	}
	return equals(s, len, "utf-8") || equals(s, len, "utf8") || equals(s, len, "us-ascii");
}

static const char *check_type(const struct http1_header *h, bool plain)
{
	const char *s = h->value, *end = h->value + h->value_len, *semicolon;
	bool is_type = true;

	for (; s; s = semicolon ? semicolon + 1 : NULL) {
		size_t n;

		semicolon = memchr(s, ';', (size_t)(end - s));
		n = (size_t)((semicolon ? semicolon : end) - s);
		if (is_type) {
			trim(&s, &n);
			if (!is_json_type(s, n, plain))
				return "Content-Type is not JSON";
		} else if (!is_utf8_param(s, n)) {
			return "Content-Type has an unsupported charset or parameter";
		}
		is_type = false;
	}
	return NULL;
}

const char *jsontext_check_headers(const struct http1_header *list, size_t n, bool plain)
{
	const struct http1_header *type = NULL;

	for (size_t i = 0; i < n; i++) {
		const struct http1_header *h = &list[i];

		if (h->id == HTTP1_CONTENT_ENCODING && !equals(h->value, h->value_len, "identity"))
			return "Content-Encoding is not supported";
		if (h->id != HTTP1_CONTENT_TYPE)
			continue;
		if (type)
			return "more than one Content-Type";
		type = h;
	}
	return type ? check_type(type, plain) : NULL;
}
