#include "launcher/term_world.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/sandbox.h"
#include "launcher/term_decide.h"
#include "lib/analyzer.h"
#include "lib/cleanup.h"
#include "lib/logstore.h"
#include "lib/str.h"
#include "lib/strv.h"

/* A sandbox and its log. */
struct feed {
	struct term_sandbox info; /* what the list shows */
	bool is_gone, is_seen;
	unsigned int tick;	    /* refreshes since it last answered */
	int dir;		    /* the log directory: it stays ours when it is archived */
	struct logstore_view *view; /* NULL: not readable */
	struct stream *stream;	    /* takes the events while it is shown; borrowed */
	size_t counted;
};

struct term_world {
	struct term_model *m;
	struct feed **feeds; /* owned, and what they point to */
	size_t n;
	bool is_streaming; /* somebody looks at events */
};

/* ---- One log ----------------------------------------------------------------------------- */

static void feed_free(struct feed *f)
{
	if (!f)
		return;
	logstore_view_free(f->view);
	cleanup_close(&f->dir);
	free(f->info.last_denied);
	free(f);
}

/* Quotes inside strings are escaped, so this is the decision and nothing else. */
static bool has_action(const char *line, size_t len, const char *action)
{
	return memmem(line, len, action, strlen(action)) != NULL;
}

static int count_line(void *arg, const struct event_peek *peek, const char *line, size_t len)
{
	uint64_t n = peek->count ? peek->count : 1;
	struct feed *f = arg;

	f->counted++;
	if (has_action(line, len, ",\"d\":\"deny\"")) {
		f->info.denied += n;
		free(f->info.last_denied);
		f->info.last_denied = strndup(line, len);
	} else if (has_action(line, len, ",\"d\":\"a")) { /* allow, audit */
		f->info.allowed += n;
	}
	return 0;
}

/* gcc 12: the world owns its feeds. */
ANALYZER_OFF("-Wanalyzer-malloc-leak")
static void feed_count(struct feed *f)
{
	const struct logstore_query q = { .last = WORLD_COUNTED };

	f->counted = 0;
	f->info.allowed = f->info.denied = 0;
	if (f->view)
		(void)logstore_read(f->view, &q, count_line, f);
	f->info.has_more = f->counted >= WORLD_COUNTED;
}
ANALYZER_ON

static void feed_open(struct feed *f)
{
	if (f->dir < 0)
		f->dir = state_log_open(f->info.origin.name, NULL);
	if (f->dir < 0 || logstore_view_open(&f->view, f->dir) < 0)
		return;
	/* Without inotify the log is looked at with every refresh. */
	(void)logstore_watch(f->view);
	feed_count(f);
}

static int shown_line(void *arg, const struct event_peek *peek, const char *line, size_t len)
{
	struct feed *f = arg;
	int r = stream_add(f->stream, &f->info.origin, line, len);

	(void)peek;
	return r < 0 ? r : 0;
}

static int new_line(void *arg, const struct event_peek *peek, const char *line, size_t len)
{
	struct feed *f = arg;

	(void)count_line(arg, peek, line, len);
	return f->stream ? shown_line(arg, peek, line, len) : 0;
}

/* Sets @wait_ms to the sooner of the two. */
static void sooner(int *wait_ms, int ms)
{
	if (ms >= 0 && (*wait_ms < 0 || ms < *wait_ms))
		*wait_ms = ms;
}

/* True when something came. */
static bool feed_follow(struct feed *f, int *wait_ms)
{
	const struct logstore_query everything = { 0 };
	size_t before = f->counted;
	int ms = -1;

	if (!f->view)
		return false;
	(void)logstore_watch_clear(f->view);
	(void)logstore_follow(f->view, &everything, event_now_ms(), new_line, f, &ms);
	sooner(wait_ms, ms);
	return f->counted != before;
}

/*
 * Reads what the filter wants from the end of the log. First the view is brought up to date, so
 * that what comes later begins where this ends; a folded line that was still held back is read
 * here without having been counted, hence the count anew.
 */
static void feed_show(struct feed *f, struct stream *stream, size_t last)
{
	struct logstore_query q = stream_query(&stream->filter);
	int held = -1;

	if (!f->view) /* one of more than are followed */
		feed_open(f);
	f->stream = NULL;
	(void)feed_follow(f, &held);
	f->stream = stream;
	q.last = last;
	if (f->view)
		(void)logstore_read(f->view, &q, shown_line, f);
	if (held >= 0)
		feed_count(f);
}

/* ---- All of them ------------------------------------------------------------------------- */

struct term_world *world_new(struct term_model *m)
{
	struct term_world *w = calloc(1, sizeof(*w));

	if (w)
		w->m = m;
	return w;
}

void world_free(struct term_world *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->n; i++)
		feed_free(w->feeds[i]);
	free(w->feeds);
	free(w);
}

static size_t count_open(const struct term_world *w)
{
	size_t n = 0;

	for (size_t i = 0; i < w->n; i++)
		n += w->feeds[i]->view != NULL;
	return n;
}

static struct feed *feed_add(struct term_world *w, const struct stream_origin *of)
{
	struct feed **feeds = reallocarray(w->feeds, w->n + 1, sizeof(struct feed *));
	struct feed *f = calloc(1, sizeof(*f));

	if (feeds)
		w->feeds = feeds;
	if (!f || !feeds) {
		free(f);
		return NULL;
	}
	f->dir = -1;
	f->info.origin = *of;
	f->info.phase = "Unknown";
	f->info.has_more = true;
	if (count_open(w) < WORLD_FEEDS_MAX)
		feed_open(f);
	w->feeds[w->n++] = f;
	return f;
}

static struct feed *feed_find(struct term_world *w, const char *name, const char *id)
{
	for (size_t i = 0; i < w->n; i++) {
		const struct stream_origin *o = &w->feeds[i]->info.origin;

		if (str_eq(o->name, name) && (!id || str_eq(o->id, id)))
			return w->feeds[i];
	}
	return NULL;
}

static bool is_in_scope(const struct term_world *w, const struct feed *f)
{
	const struct stream_origin *scope = &w->m->scope;

	return scope->name[0] ? term_same_origin(scope, &f->info.origin) : !f->is_gone;
}

/* gcc 12: the world owns its feeds. */
ANALYZER_OFF("-Wanalyzer-malloc-leak")
static void feed_update(struct feed *f, const struct sandbox_info *i)
{
	f->info.phase = i->phase;
	f->info.created_ms = i->spec.created_ms;
	f->info.is_audit = i->spec.audit;
	f->info.revision = i->policy_version;
	f->is_seen = true;
	f->tick = 0;
}
ANALYZER_ON

/* gcc 12: the world owns its feeds. */
ANALYZER_OFF("-Wanalyzer-malloc-leak")
/* One that does not answer costs a second each time: it is asked every fifth time. */
static bool is_mute(struct term_world *w, const char *name)
{
	enum { PATIENCE = 5 };
	struct feed *f = feed_find(w, name, NULL);

	if (!f || f->is_gone || !str_eq(f->info.phase, "Unknown") || ++f->tick >= PATIENCE)
		return false;
	f->is_seen = true;
	return true;
}
ANALYZER_ON

static void see(struct term_world *w, const char *name)
{
	auto_info struct sandbox_info info = { 0 };
	struct stream_origin origin = { .name = "" };
	struct feed *f;

	if (is_mute(w, name) || sandbox_info_load(&info, name, NULL) < 0)
		return;
	(void)str_copy(origin.name, sizeof(origin.name), name);
	(void)str_copy(origin.id, sizeof(origin.id), info.spec.id ? info.spec.id : "-");
	f = feed_find(w, origin.name, origin.id);
	if (!f) {
		f = feed_add(w, &origin);
		if (f && w->is_streaming && is_in_scope(w, f))
			feed_show(f, &w->m->stream, STREAM_KEPT / WORLD_FEEDS_MAX);
	}
	if (f)
		feed_update(f, &info);
}

/* gcc 12: the world owns its feeds. */
ANALYZER_OFF("-Wanalyzer-malloc-leak")
/* What is no longer there is let go, unless it is what the user looks at: its log is archived. */
static void forget_gone(struct term_world *w)
{
	size_t kept = 0;
	int wait_ms = -1;

	for (size_t i = 0; i < w->n; i++) {
		struct feed *f = w->feeds[i];

		f->is_gone = !f->is_seen;
		if (f->is_gone)
			(void)feed_follow(f, &wait_ms);
		if (f->is_seen || term_same_origin(&f->info.origin, &w->m->scope))
			w->feeds[kept++] = f;
		else
			feed_free(f);
	}
	w->n = kept;
}
ANALYZER_ON

static int by_name(const void *a, const void *b)
{
	const struct term_sandbox *x = a, *y = b;

	return strcmp(x->origin.name, y->origin.name);
}

/* The model's list, from what is known. */
static void publish(struct term_world *w)
{
	struct term_sandbox *list = calloc(w->n + 1, sizeof(*list));
	size_t n = 0;

	for (size_t i = 0; list && i < w->n; i++) {
		const struct term_sandbox *info = &w->feeds[i]->info;

		if (w->feeds[i]->is_gone)
			continue;
		list[n] = *info;
		list[n++].last_denied = info->last_denied ? strdup(info->last_denied) : NULL;
	}
	if (!list)
		return;
	qsort(list, n, sizeof(*list), by_name);
	term_set_sandboxes(w->m, list, n);
}

void world_refresh(struct term_world *w)
{
	auto_strv char **names = NULL;

	if (state_list(&names, NULL) < 0)
		return;
	for (size_t i = 0; i < w->n; i++)
		w->feeds[i]->is_seen = false;
	for (char **name = names; name && *name; name++)
		see(w, *name);
	forget_gone(w);
	publish(w);
	term_stream_grew(w->m);
}

bool world_follow(struct term_world *w, int *ret_wait_ms)
{
	bool is_changed = false;

	*ret_wait_ms = -1;
	for (size_t i = 0; i < w->n; i++)
		is_changed |= feed_follow(w->feeds[i], ret_wait_ms);
	if (!is_changed)
		return false;
	publish(w);
	term_stream_grew(w->m);
	return true;
}

size_t world_poll(const struct term_world *w, struct pollfd *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < w->n && n < WORLD_FEEDS_MAX; i++) {
		int fd = w->feeds[i]->view ? logstore_watch(w->feeds[i]->view) : -1;

		if (fd >= 0)
			ret[n++] = (struct pollfd){ .fd = fd, .events = POLLIN };
	}
	return n;
}

/* ---- What a key asked for ---------------------------------------------------------------- */

static void read_stream(struct term_world *w)
{
	size_t n = 0;

	w->is_streaming = true;
	stream_clear(&w->m->stream);
	for (size_t i = 0; i < w->n; i++)
		n += is_in_scope(w, w->feeds[i]);
	for (size_t i = 0; i < w->n; i++) {
		w->feeds[i]->stream = NULL;
		if (is_in_scope(w, w->feeds[i]))
			feed_show(w->feeds[i], &w->m->stream, STREAM_KEPT / n);
	}
	stream_sort(&w->m->stream);
	publish(w);
	term_stream_ready(w->m);
}

int world_show(struct term_world *w, const char *name, struct err *err)
{
	struct stream_origin origin = { .name = "" };
	struct feed *f = feed_find(w, name, NULL);

	if (!f) {
		auto_close int dir = state_log_open(name, err);

		if (dir < 0)
			return dir;
		(void)str_copy(origin.name, sizeof(origin.name), name);
		f = feed_add(w, &origin);
		if (!f)
			return err_set(err, -ENOMEM, "%s", err_name(-ENOMEM));
		f->is_gone = true;
	}
	w->m->chosen = f->info.origin;
	world_do(w, term_show_events(w->m, &f->info.origin));
	return 0;
}

void world_do(struct term_world *w, enum term_want want)
{
	if (want == TERM_STREAM) {
		read_stream(w);
	} else if (want == TERM_JUDGE) {
		decide_judge(&w->m->details);
		term_judged(w->m);
	} else if (want == TERM_READ_RULES) {
		decide_read_rules(&w->m->policy);
	} else if (want == TERM_DECIDE) {
		decide(w->m);
		world_refresh(w);
	}
}
