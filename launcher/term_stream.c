#include "launcher/term_stream.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analyzer.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/str.h"

enum { SEARCHED_MAX = 1024 * 1024 };

void stream_clear(struct stream *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->list[i].line);
	s->n = s->bytes = 0;
}

void stream_done(struct stream *s)
{
	stream_clear(s);
	free(s->list);
	s->list = NULL;
	s->room = 0;
}

/* ---- Filter ------------------------------------------------------------------------------ */

/* What stands in a line as it is typed: no other byte of a host is ever escaped. */
static bool is_literal(const char *s)
{
	return s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789.-_:")] == '\0';
}

struct logstore_query stream_query(const struct stream_filter *f)
{
	return (struct logstore_query){
		.last = STREAM_KEPT,
		.min_level = f->is_denied_only ? EVENT_WARN : EVENT_DEBUG,
		.adapters = f->adapters,
		.contains = f->host[0] && is_literal(f->host) ? f->host : NULL,
	};
}

static bool filter_wants(const struct stream_filter *f, const struct event *e)
{
	const char *host = e->host ? e->host : e->addr;

	if (f->is_denied_only && e->action != EVENT_DENY)
		return false;
	if (f->adapters && !(f->adapters & 1u << e->adapter))
		return false;
	return !f->host[0] || (host && strcasestr(host, f->host));
}

/* ---- Events ------------------------------------------------------------------------------ */

/* Makes room by letting the oldest go. */
static void drop_oldest(struct stream *s)
{
	size_t drop = s->n / 4 + 1;

	for (size_t i = 0; i < drop; i++) {
		s->bytes -= s->list[i].len;
		free(s->list[i].line);
	}
	memmove(s->list, s->list + drop, (s->n - drop) * sizeof(*s->list));
	s->n -= drop;
}

static int make_room(struct stream *s, size_t len)
{
	struct stream_event *list;
	size_t room = s->room ? 2 * s->room : 256;

	while (s->n >= STREAM_KEPT || (s->n && s->bytes + len > STREAM_BYTES_MAX))
		drop_oldest(s);
	if (s->n < s->room)
		return 0;
	list = reallocarray(s->list, room, sizeof(*list));
	if (!list)
		return -ENOMEM;
	s->list = list;
	s->room = room;
	return 0;
}

/* gcc 12: the list owns the line. */
ANALYZER_OFF("-Wanalyzer-malloc-leak")
int stream_add(struct stream *s, const struct stream_origin *from, const char *line, size_t len)
{
	auto_event_record struct event_record record = { 0 };
	struct stream_event e = { .origin = *from, .len = len };
	int r = event_parse(line, len, &record);

	if (r < 0)
		return r == -EINVAL ? 0 : r;
	if (!filter_wants(&s->filter, &record.event))
		return 0;
	e.line = strndup(line, len);
	r = e.line ? make_room(s, len) : -ENOMEM;
	if (r < 0) {
		free(e.line);
		return r;
	}
	e.time_ms = record.event.time_ms;
	e.number = ++s->last_number;
	s->bytes += len;
	s->list[s->n++] = e;
	return 1;
}
ANALYZER_ON

static int by_time(const void *a, const void *b)
{
	const struct stream_event *x = a, *y = b;

	if (x->time_ms != y->time_ms)
		return x->time_ms < y->time_ms ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

void stream_sort(struct stream *s)
{
	uint64_t first = s->n ? s->list[0].number : 0;

	if (!s->n)
		return;
	qsort(s->list, s->n, sizeof(*s->list), by_time);
	for (size_t i = 0; i < s->n; i++)
		s->list[i].number = first + i;
}

size_t stream_at(const struct stream *s, uint64_t number)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (s->list[mid].number < number)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct stream_event *stream_find(const struct stream *s, uint64_t number)
{
	size_t at = stream_at(s, number);

	return number && at < s->n && s->list[at].number == number ? &s->list[at] : NULL;
}

/* ---- Search ------------------------------------------------------------------------------ */

static bool holds(const struct stream_event *e, struct buf *scratch, const char *text)
{
	auto_event_record struct event_record record = { 0 };

	buf_reset(scratch);
	return event_parse(e->line, e->len, &record) == 0 &&
	       event_render_text(scratch, &record.event, false) == 0 && buf_cstr(scratch) &&
	       strcasestr(buf_cstr(scratch), text);
}

uint64_t stream_search(const struct stream *s, uint64_t number, int direction, const char *text)
{
	auto_buf struct buf scratch = { 0 };
	size_t from = stream_at(s, number);

	buf_init(&scratch, SEARCHED_MAX);
	if (from == s->n)
		from = 0;
	for (size_t i = 1; i <= s->n; i++) {
		size_t at = (from + (direction > 0 ? i : s->n - i)) % s->n;

		if (holds(&s->list[at], &scratch, text))
			return s->list[at].number;
	}
	return 0;
}
