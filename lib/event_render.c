#include "lib/event_render.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
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
