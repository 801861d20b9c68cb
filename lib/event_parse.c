/*
 * The other half of lib/event.c: from a line of the log to an event.
 *
 * Written by hand like that half, for `policy learn` and `policy coverage` read every line there
 * is. It takes JSON, not only what event_format() writes: blanks, any order of keys, keys that it
 * does not know. Strings are unescaped into one block, which is never larger than the line.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/event_render.h"
#include "lib/str.h"

/* ---- Reading ---------------------------------------------------------------------------- */

static const char line_start[] = "{\"t\":";

enum { LINE_START_LEN = sizeof(line_start) - 1 };

/*
 * Where the last event on the line begins; NULL if there is none. Quotes inside strings are
 * escaped, so the beginning of a line cannot stand inside one.
 */
static const char *whole_event(const char *line, size_t len)
{
	const char *p, *end = line + len;

	while ((p = memrchr(line, '{', len))) {
		if (end - p >= LINE_START_LEN && memcmp(p, line_start, LINE_START_LEN) == 0)
			return p;
		len = (size_t)(p - line);
	}
	return NULL;
}

/* A cursor over the head of a line; nothing is read beyond the end. */
struct cursor {
	const char *p, *end;
};

static bool skip_text(struct cursor *c, const char *text, size_t n)
{
	if ((size_t)(c->end - c->p) < n || memcmp(c->p, text, n) != 0)
		return false;
	c->p += n;
	return true;
}

static bool take_number(struct cursor *c, uint64_t *ret)
{
	const char *first;
	uint64_t v = 0;

	while (c->p < c->end && *c->p == ' ')
		c->p++;
	for (first = c->p; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++)
		v = v * 10 + (uint64_t)(*c->p - '0');
	if (c->p == first || c->p - first > 19)
		return false;
	*ret = v;
	return true;
}

static bool take_keyed(struct cursor *c, const char *key, uint64_t *ret)
{
	return skip_text(c, key, strlen(key)) && take_number(c, ret);
}

static bool take_adapter(struct cursor *c, enum event_adapter *ret)
{
	char name[16];
	size_t n = 0;

	if (!skip_text(c, ",\"a\":\"", 6))
		return false;
	while (c->p + n < c->end && c->p[n] != '"' && n < sizeof(name) - 1)
		n++;
	memcpy(name, c->p, n);
	name[n] = '\0';
	return event_adapter_from_name(name, ret);
}

static bool peek_head(const char *line, size_t len, struct event_peek *ret)
{
	struct cursor c = { .p = line, .end = line + len };
	uint64_t count = 0, ignored, level;

	*ret = (struct event_peek){ 0 };
	if (!take_keyed(&c, line_start, &ret->time_ms))
		return false;
	ret->until_ms = ret->time_ms;
	if (take_keyed(&c, ",\"n\":", &count) && !take_keyed(&c, ",\"u\":", &ret->until_ms))
		return false;
	(void)take_keyed(&c, ",\"c\":", &ignored);
	(void)take_keyed(&c, ",\"p\":", &ignored);
	if (!take_keyed(&c, ",\"l\":", &level) || level > EVENT_ERROR || count > UINT32_MAX)
		return false;
	ret->count = (uint32_t)count;
	ret->level = (enum event_level)level;
	return take_adapter(&c, &ret->adapter);
}

bool event_peek(const char **line, size_t *len, struct event_peek *ret)
{
	const char *whole;

	if (*len < LINE_START_LEN || (*line)[*len - 1] != '}')
		return false;
	whole = whole_event(*line, *len);
	if (!whole)
		return false;
	*len -= (size_t)(whole - *line);
	*line = whole;
	return peek_head(whole, *len, ret);
}

/* ---- Parsing ---------------------------------------------------------------------------- */

enum field_type { FIELD_STRING, FIELD_U32, FIELD_U64, FIELD_LIST, FIELD_ADAPTER, FIELD_ACTION };

enum { NESTING_MAX = 16 /* of values that are passed over */ };

#define TIME_MAX 9999999999999u /* EVENT_TIME_WIDTH digits */

/* The keys of lib/event.c, in the order in which it writes them: each is found at once. */
static const struct field {
	const char *key;
	enum field_type type;
	size_t offset;
	uint64_t max;
} fields[] = {
	{ "t", FIELD_U64, offsetof(struct event, time_ms), TIME_MAX },
	{ "n", FIELD_U32, offsetof(struct event, count), UINT32_MAX },
	{ "u", FIELD_U64, offsetof(struct event, until_ms), TIME_MAX },
	{ "c", FIELD_U64, offsetof(struct event, connection), INT64_MAX },
	{ "p", FIELD_U32, offsetof(struct event, pid), UINT32_MAX },
	{ "l", FIELD_U32, offsetof(struct event, level), EVENT_ERROR },
	{ "a", FIELD_ADAPTER, offsetof(struct event, adapter), 0 },
	{ "d", FIELD_ACTION, offsetof(struct event, action), 0 },
	{ "m", FIELD_STRING, offsetof(struct event, message), 0 },
	{ "h", FIELD_STRING, offsetof(struct event, host), 0 },
	{ "o", FIELD_U32, offsetof(struct event, port), UINT32_MAX },
	{ "i", FIELD_STRING, offsetof(struct event, addr), 0 },
	{ "r", FIELD_STRING, offsetof(struct event, protocol), 0 },
	{ "b", FIELD_STRING, offsetof(struct event, binary), 0 },
	{ "f", FIELD_LIST, offsetof(struct event, ancestors), 0 },
	{ "k", FIELD_STRING, offsetof(struct event, policy), 0 },
	{ "e", FIELD_STRING, offsetof(struct event, endpoint), 0 },
	{ "y", FIELD_STRING, offsetof(struct event, rule), 0 },
	{ "g", FIELD_STRING, offsetof(struct event, engine), 0 },
	{ "w", FIELD_STRING, offsetof(struct event, reason), 0 },
	{ "q", FIELD_STRING, offsetof(struct event, nearest), 0 },
	{ "v", FIELD_STRING, offsetof(struct event, method), 0 },
	{ "x", FIELD_STRING, offsetof(struct event, target), 0 },
	{ "z", FIELD_STRING, offsetof(struct event, operation), 0 },
	{ "mod", FIELD_STRING, offsetof(struct event, model), 0 },
	{ "via", FIELD_STRING, offsetof(struct event, provider), 0 },
	{ "ms", FIELD_U32, offsetof(struct event, latency_ms), UINT32_MAX },
	{ "s", FIELD_U32, offsetof(struct event, status), UINT32_MAX },
	{ "up", FIELD_U64, offsetof(struct event, bytes_up), INT64_MAX },
	{ "down", FIELD_U64, offsetof(struct event, bytes_down), INT64_MAX },
	{ "gen", FIELD_U32, offsetof(struct event, generation), UINT32_MAX },
	{ "stack", FIELD_STRING, offsetof(struct event, stack), 0 },
};

static_assert(sizeof(enum event_level) == sizeof(uint32_t), "the level is read as a number");

enum { N_FIELDS = ARRAY_SIZE(fields), AT_TIME = 0, AT_LEVEL = 5, AT_ADAPTER = 6 };

struct parser {
	const char *p, *end;
	char *out; /* where the next string goes, in record->text */
	struct event_record *record;
	uint32_t seen; /* a bit for each of fields[] */
	size_t next;   /* the field that is expected */
	int error;
};

static_assert(N_FIELDS <= 32, "one bit for each in seen");

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_blanks(struct parser *s)
{
	while (s->p < s->end && is_blank(*s->p))
		s->p++;
}

/* The next thing is @c; then it is taken. */
static bool take(struct parser *s, char c)
{
	skip_blanks(s);
	if (s->p == s->end || *s->p != c)
		return false;
	s->p++;
	return true;
}

static bool take_hex4(struct parser *s, uint32_t *ret)
{
	uint32_t v = 0;

	if (s->end - s->p < 4)
		return false;
	for (int i = 0; i < 4; i++) {
		int digit = str_hex_digit(*s->p++);

		if (digit < 0)
			return false;
		v = v << 4 | (uint32_t)digit;
	}
	*ret = v;
	return true;
}

/* Behind "\u": what cannot stand in a C string, and halves of a character, are refused. */
static bool take_code_point(struct parser *s)
{
	uint32_t cp, low;

	if (!take_hex4(s, &cp) || !cp || (cp & 0xfc00) == 0xdc00)
		return false;
	if ((cp & 0xfc00) == 0xd800) {
		if (s->end - s->p < 2 || *s->p++ != '\\' || *s->p++ != 'u' || !take_hex4(s, &low) ||
			(low & 0xfc00) != 0xdc00)
			return false;
		cp = 0x10000 + ((cp & 0x3ff) << 10 | (low & 0x3ff));
	}
	s->out += str_utf8_encode(s->out, cp);
	return true;
}

static bool take_escape(struct parser *s)
{
	static const char names[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
	const char *at;

	if (s->p == s->end)
		return false;
	if (*s->p == 'u') {
		s->p++;
		return take_code_point(s);
	}
	at = *s->p ? strchr(names, *s->p) : NULL;
	if (!at)
		return false;
	*s->out++ = bytes[at - names];
	s->p++;
	return true;
}

/* A string and its NUL: never longer than it was with its quotes. */
static bool take_string(struct parser *s, const char **ret)
{
	char *start = s->out;
	bool is_ascii = true;

	if (!take(s, '"'))
		return false;
	while (s->p < s->end && *s->p != '"') {
		size_t n = str_json_plain(s->p, (size_t)(s->end - s->p));

		memcpy(s->out, s->p, n);
		s->out += n;
		s->p += n;
		if (n)
			continue;
		is_ascii = false;
		if ((unsigned char)*s->p < 0x20)
			return false;
		if (*s->p++ != '\\')
			*s->out++ = s->p[-1];
		else if (!take_escape(s))
			return false;
	}
	if (s->p == s->end || (!is_ascii && !str_is_utf8(start, (size_t)(s->out - start))))
		return false;
	s->p++;
	*s->out++ = '\0';
	*ret = start;
	return true;
}

static bool take_u64(struct parser *s, uint64_t max, uint64_t *ret)
{
	struct cursor c;

	skip_blanks(s);
	c = (struct cursor){ .p = s->p, .end = s->end };
	if (s->end - s->p > 1 && s->p[0] == '0' && s->p[1] >= '0' && s->p[1] <= '9')
		return false;
	if (!take_number(&c, ret) || *ret > max)
		return false;
	s->p = c.p;
	return true;
}

/* Where a list of strings goes; the last entry stays NULL. */
static bool list_add(struct event_record *r, size_t n, const char *text)
{
	const char **grown = r->ancestors;

	if (n % 16 == 0)
		grown = reallocarray(r->ancestors, n + 17, sizeof(*grown));
	if (!grown)
		return false;
	r->ancestors = grown;
	grown[n] = text;
	return true;
}

static bool take_list(struct parser *s, const char *const **ret)
{
	const char *text;
	size_t n = 0;
	bool more;

	if (!take(s, '['))
		return false;
	more = !take(s, ']');
	while (more) {
		if (!take_string(s, &text))
			return false;
		if (!list_add(s->record, n++, text)) {
			s->error = -ENOMEM;
			return false;
		}
		more = take(s, ',');
		if (!more && !take(s, ']'))
			return false;
	}
	if (n)
		s->record->ancestors[n] = NULL;
	*ret = s->record->ancestors;
	return true;
}

static bool take_value(struct parser *s, const struct field *f)
{
	void *to = (char *)&s->record->event + f->offset;
	const char *text;
	uint64_t v;

	switch (f->type) {
	case FIELD_STRING:
		return take_string(s, to);
	case FIELD_LIST:
		return take_list(s, to);
	case FIELD_ADAPTER:
		return take_string(s, &text) && event_adapter_from_name(text, to);
	case FIELD_ACTION:
		return take_string(s, &text) && event_action_from_name(text, to);
	case FIELD_U32:
		if (!take_u64(s, f->max, &v))
			return false;
		*(uint32_t *)to = (uint32_t)v;
		return true;
	case FIELD_U64:
		return take_u64(s, f->max, to);
	}
	return false;
}

static const struct field *field_find(struct parser *s, const char *key)
{
	for (size_t i = 0; i < N_FIELDS; i++) {
		size_t at = (s->next + i) % N_FIELDS;

		if (str_eq(fields[at].key, key)) {
			s->next = at + 1;
			return &fields[at];
		}
	}
	return NULL;
}

/* A number, true, false or null, as it ends: what it says is nobody's business. */
static bool skip_word(struct parser *s)
{
	const char *first = s->p;

	while (s->p < s->end && *s->p && strchr("abcdefghijklmnopqrstuvwxyz0123456789+-.E", *s->p))
		s->p++;
	return s->p > first;
}

static bool skip_value(struct parser *s, unsigned int depth);

/* The inside of an object or array, up to its @end. */
static bool skip_members(struct parser *s, char end, unsigned int depth)
{
	const char *key;

	if (depth == NESTING_MAX)
		return false;
	if (take(s, end))
		return true;
	do {
		if (end == '}' && !(take_string(s, &key) && take(s, ':')))
			return false;
		if (!skip_value(s, depth + 1))
			return false;
	} while (take(s, ','));
	return take(s, end);
}

static bool skip_value(struct parser *s, unsigned int depth)
{
	const char *text;

	if (take(s, '{'))
		return skip_members(s, '}', depth);
	if (take(s, '['))
		return skip_members(s, ']', depth);
	return s->p < s->end && (*s->p == '"' ? take_string(s, &text) : skip_word(s));
}

static bool take_member(struct parser *s)
{
	const struct field *f;
	char *out = s->out;
	const char *key;
	uint32_t bit;

	if (!take_string(s, &key) || !take(s, ':'))
		return false;
	f = field_find(s, key);
	s->out = out;
	if (!f)
		return skip_value(s, 0);
	bit = 1u << (f - fields);
	if (s->seen & bit)
		return false;
	s->seen |= bit;
	return take_value(s, f);
}

static bool take_event(struct parser *s)
{
	const uint32_t needed = 1u << AT_TIME | 1u << AT_LEVEL | 1u << AT_ADAPTER;

	if (!take(s, '{'))
		return false;
	do {
		if (!take_member(s))
			return false;
	} while (take(s, ','));
	if (!take(s, '}'))
		return false;
	skip_blanks(s);
	return s->p == s->end && (s->seen & needed) == needed && s->record->event.time_ms;
}

int event_parse(const char *line, size_t len, struct event_record *ret)
{
	struct event_record r = { 0 };
	struct parser s = { .record = &r, .error = -EINVAL };
	struct event_peek peek;

	if (len > EVENT_LINE_MAX || !event_peek(&line, &len, &peek))
		return -EINVAL;
	r.text = malloc(len + 1);
	if (!r.text)
		return -ENOMEM;
	s.p = line;
	s.end = line + len;
	s.out = r.text;
	if (!take_event(&s)) {
		event_record_done(&r);
		return s.error;
	}
	*ret = r;
	return 0;
}

void event_record_done(struct event_record *r)
{
	free(r->text);
	free(r->ancestors);
	*r = (struct event_record){ 0 };
}
