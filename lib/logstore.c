#include "lib/logstore.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/str.h"

/* ---- Segments --------------------------------------------------------------------------- */

enum { SEGMENT_NAME_MAX = 48 };

struct segment {
	uint64_t number;
	uint64_t begun_ms;
	size_t size; /* when it was listed */
	size_t done; /* read up to here, always the beginning of a line */
};

struct segments {
	struct segment *list; /* by number; owned */
	size_t n;
};

static void segments_done(struct segments *s)
{
	free(s->list);
	*s = (struct segments){ 0 };
}

#define auto_segments __attribute__((cleanup(segments_done)))

static void segment_name(char *name, const struct segment *s)
{
	(void)snprintf(
		name, SEGMENT_NAME_MAX, "%08" PRIu64 "-%013" PRIu64 ".log", s->number, s->begun_ms);
}

/* A name is ours only if it is exactly what segment_name() writes. */
static bool segment_parse(const char *name, struct segment *ret)
{
	struct segment s = { 0 };
	char again[SEGMENT_NAME_MAX];

	if (sscanf(name, "%8" SCNu64 "-%13" SCNu64 ".log", &s.number, &s.begun_ms) != 2)
		return false;
	segment_name(again, &s);
	if (strcmp(name, again) != 0)
		return false;
	*ret = s;
	return true;
}

static int segments_add(struct segments *s, const struct segment *one)
{
	struct segment *bigger;

	if (s->n % 64 == 0) {
		bigger = realloc(s->list, (s->n + 64) * sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		s->list = bigger;
	}
	s->list[s->n++] = *one;
	return 0;
}

static int by_number(const void *a, const void *b)
{
	const struct segment *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

/* One entry of the directory; what is not a segment is passed over. */
static int segments_see(struct segments *s, int dirfd, const char *name)
{
	struct segment one;
	struct stat st;

	if (!segment_parse(name, &one) || fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		!S_ISREG(st.st_mode))
		return 0;
	one.size = (size_t)st.st_size;
	return segments_add(s, &one);
}

static int segments_list(struct segments *ret, int dirfd)
{
	auto_segments struct segments s = { 0 };
	auto_closedir DIR *dir = NULL;
	auto_close int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	int r = 0;

	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir)
		return -errno;
	(void)take_fd(fd);
	while (r == 0 && (errno = 0, entry = readdir(dir)))
		r = segments_see(&s, dirfd, entry->d_name);
	if (r < 0 || errno)
		return r < 0 ? r : -errno;
	if (s.n)
		qsort(s.list, s.n, sizeof(*s.list), by_number);
	*ret = s;
	s = (struct segments){ 0 };
	return 0;
}

/* ---- The supervisor's side -------------------------------------------------------------- */

struct logstore {
	int dirfd;
	struct segment current;
};

static int segment_open(int dirfd, const struct segment *s, int flags)
{
	char name[SEGMENT_NAME_MAX];
	int fd;

	segment_name(name, s);
	fd = openat(dirfd, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? -errno : fd;
}

int logstore_open_writer(const struct logstore *s)
{
	return segment_open(s->dirfd, &s->current, O_RDWR | O_APPEND);
}

size_t logstore_open_newest(const struct logstore *s, int *fds, size_t n)
{
	auto_segments struct segments all = { 0 };
	size_t done = 0;

	if (segments_list(&all, s->dirfd) < 0)
		return 0;
	for (size_t i = all.n; i > 0 && done < n; i--) {
		int fd = segment_open(s->dirfd, &all.list[i - 1], O_RDONLY);

		if (fd >= 0)
			fds[done++] = fd;
	}
	return done;
}

static int segment_begin(struct logstore *s, uint64_t number, uint64_t now_ms)
{
	struct segment next = { .number = number, .begun_ms = now_ms };
	int fd = segment_open(s->dirfd, &next, O_RDWR | O_CREAT | O_EXCL);

	if (fd < 0)
		return fd;
	(void)close(fd);
	s->current = next;
	return 0;
}

static bool segment_is_spent(const struct segment *s, size_t size, uint64_t now_ms)
{
	return size >= LOGSTORE_SEGMENT_MAX || now_ms < s->begun_ms ||
	       now_ms - s->begun_ms >= LOGSTORE_AGE_MAX_MS;
}

/* Ends the line that a killed writer did not finish, so that it spoils no other. */
static int segment_mend(const struct logstore *s, size_t size)
{
	auto_close int fd = logstore_open_writer(s);
	char last;

	if (fd < 0)
		return fd;
	if (!size || (pread(fd, &last, 1, (off_t)size - 1) == 1 && last == '\n'))
		return 0;
	return fd_write_all(fd, "\n", 1);
}

static int continue_or_begin(struct logstore *s, uint64_t now_ms)
{
	auto_segments struct segments all = { 0 };
	const struct segment *last;
	int r;

	r = segments_list(&all, s->dirfd);
	if (r < 0)
		return r;
	if (!all.n)
		return segment_begin(s, 1, now_ms);
	last = &all.list[all.n - 1];
	if (segment_is_spent(last, last->size, now_ms))
		return segment_begin(s, last->number + 1, now_ms);
	s->current = *last;
	return segment_mend(s, last->size);
}

int logstore_open(struct logstore **ret, int dirfd, uint64_t now_ms, struct err *err)
{
	struct logstore *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_set(err, -ENOMEM, "log: %s", err_name(-ENOMEM));
	s->dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 3);
	r = s->dirfd < 0 ? -errno : continue_or_begin(s, now_ms);
	if (r < 0) {
		logstore_free(s);
		return err_set(err, r, "log: %s", err_name(r));
	}
	*ret = s;
	return 0;
}

void logstore_free(struct logstore *s)
{
	if (!s)
		return;
	cleanup_close(&s->dirfd);
	free(s);
}

/* Removes the oldest while all of them are too much; the current one stays. */
static unsigned int prune(const struct logstore *s)
{
	auto_segments struct segments all = { 0 };
	unsigned int removed = 0;
	size_t total = 0;

	if (segments_list(&all, s->dirfd) < 0)
		return 0;
	for (size_t i = 0; i < all.n; i++)
		total += all.list[i].size;
	for (size_t i = 0; i + 1 < all.n; i++) {
		char name[SEGMENT_NAME_MAX];

		if (total <= LOGSTORE_TOTAL_MAX && all.n - i <= LOGSTORE_SEGMENTS_MAX)
			break;
		segment_name(name, &all.list[i]);
		if (unlinkat(s->dirfd, name, 0) < 0)
			break;
		total -= all.list[i].size;
		removed++;
	}
	return removed;
}

int logstore_rotate(struct logstore *s, uint64_t now_ms, unsigned int *ret_pruned, struct err *err)
{
	char name[SEGMENT_NAME_MAX];
	struct stat st;
	int r;

	segment_name(name, &s->current);
	if (fstatat(s->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(err, -errno, "log segment '%s': %s", name, err_name(-errno));
	*ret_pruned = 0;
	if (!segment_is_spent(&s->current, (size_t)st.st_size, now_ms))
		return 0;
	r = segment_begin(s, s->current.number + 1, now_ms);
	if (r < 0)
		return err_set(err, r, "new log segment: %s", err_name(r));
	*ret_pruned = prune(s);
	return 1;
}

/* ---- One segment in memory --------------------------------------------------------------- */

/* A segment's bytes, mapped. Segments only grow, so the mapping stays good. */
struct map {
	const char *data;
	size_t len;
};

static void map_done(struct map *m)
{
	if (m->data)
		(void)munmap((void *)(uintptr_t)m->data, m->len);
	*m = (struct map){ 0 };
}

#define auto_map __attribute__((cleanup(map_done)))

/* At most @max bytes. A segment that was pruned meanwhile is empty. */
static int map_segment(struct map *ret, int dirfd, const struct segment *s, size_t max)
{
	auto_close int fd = segment_open(dirfd, s, O_RDONLY);
	struct stat st;
	void *p;

	*ret = (struct map){ 0 };
	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	ret->len = (size_t)st.st_size < max ? (size_t)st.st_size : max;
	if (!ret->len)
		return 0;
	p = mmap(NULL, ret->len, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		*ret = (struct map){ 0 };
		return -errno;
	}
	ret->data = p;
	return 0;
}

/* The length of the line at @at, without its newline; false when it has no end yet. */
static bool line_at(const struct map *m, size_t at, size_t *ret_len)
{
	const char *nl = at < m->len ? memchr(m->data + at, '\n', m->len - at) : NULL;

	if (!nl)
		return false;
	*ret_len = (size_t)(nl - m->data) - at;
	return true;
}

/* The beginning of the line that holds the byte @at, not before @from. */
static size_t line_begin(const struct map *m, size_t from, size_t at)
{
	const char *nl = at > from ? memrchr(m->data + from, '\n', at - from) : NULL;

	return nl ? (size_t)(nl - m->data) + 1 : from;
}

/*
 * The beginning of the first line that is not older than @since_ms. Each is looked at, which takes a few
 * nanoseconds: behind a wall clock that was set back and forth times stand in any order, and whoever searched
 * them by halves would leave some out.
 */
static size_t seek_time(const struct map *m, uint64_t since_ms)
{
	size_t at = 0, len;

	for (; since_ms && line_at(m, at, &len); at += len + 1) {
		const char *line = m->data + at;
		struct event_peek peek;
		size_t n = len;

		if (event_peek(&line, &n, &peek) && peek.until_ms >= since_ms)
			break;
	}
	return at;
}

/* ---- Reading ---------------------------------------------------------------------------- */

struct logstore_view {
	int dirfd; /* borrowed */
	int watch; /* inotify, -1 until asked for */
	struct segments segments;
	size_t torn;
};

int logstore_view_open(struct logstore_view **ret, int dirfd)
{
	struct logstore_view *v = calloc(1, sizeof(*v));
	int r;

	if (!v)
		return -ENOMEM;
	v->dirfd = dirfd;
	v->watch = -1;
	r = segments_list(&v->segments, dirfd);
	if (r < 0) {
		logstore_view_free(v);
		return r;
	}
	*ret = v;
	return 0;
}

void logstore_view_free(struct logstore_view *v)
{
	if (!v)
		return;
	cleanup_close(&v->watch);
	segments_done(&v->segments);
	free(v);
}

size_t logstore_torn(const struct logstore_view *v)
{
	return v->torn;
}

static bool query_wants(const struct logstore_query *q, const struct event_peek *peek,
	const char *line, size_t len)
{
	return peek->until_ms >= q->since_ms && peek->level >= q->min_level &&
	       (!q->adapters || (q->adapters & 1u << peek->adapter)) &&
	       (!q->contains || memmem(line, len, q->contains, strlen(q->contains)));
}

/* Empty lines are no loss: a writer ends an unfinished one with them. */
static bool view_peek(
	struct logstore_view *v, const char **line, size_t *len, struct event_peek *ret)
{
	const char *before = *line;
	bool is_event = *len && event_peek(line, len, ret);

	if ((*len && !is_event) || *line != before)
		v->torn++;
	return is_event;
}

/* Lines from @at on; where it stopped comes back as @ret_at. */
static int read_forward(struct logstore_view *v, const struct map *m, size_t at,
	const struct logstore_query *q, logstore_fn *fn, void *arg, size_t *ret_at)
{
	size_t len;
	int r = 0;

	for (; r == 0 && line_at(m, at, &len); at += len + 1) {
		const char *line = m->data + at;
		struct event_peek peek;
		size_t n = len;

		if (view_peek(v, &line, &n, &peek) && query_wants(q, &peek, line, n))
			r = fn(arg, &peek, line, n);
	}
	*ret_at = at;
	return r;
}

/* What stands behind the last line break of a segment that is no longer written is lost. */
static void count_unfinished(struct logstore_view *v, size_t segment, const struct map *m)
{
	if (segment + 1 < v->segments.n && v->segments.list[segment].done < m->len)
		v->torn++;
}

static int read_all(
	struct logstore_view *v, const struct logstore_query *q, logstore_fn *fn, void *arg)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < v->segments.n; i++) {
		struct segment *s = &v->segments.list[i];
		auto_map struct map m = { 0 };

		r = map_segment(&m, v->dirfd, s, s->size);
		if (r == 0)
			r = read_forward(v, &m, seek_time(&m, q->since_ms), q, fn, arg, &s->done);
		if (r == 0)
			count_unfinished(v, i, &m);
	}
	return r;
}

/* A line that was found while going backwards. */
struct found {
	size_t segment, at, len;
	struct event_peek peek;
};

/* The last events, newest first while they are collected. */
struct last {
	struct found *list; /* owned */
	size_t n, max, room;
};

static void last_done(struct last *l)
{
	free(l->list);
}

static int last_add(struct last *l, const struct found *f)
{
	struct found *bigger;

	if (l->n == l->room) {
		size_t room = l->room ? 2 * l->room : 64;

		bigger = reallocarray(l->list, room, sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		l->list = bigger;
		l->room = room;
	}
	l->list[l->n++] = *f;
	return 0;
}

/* From the last whole line of the segment back to its first that can be wanted. */
static int collect_backward(struct logstore_view *v, size_t segment, const struct map *m,
	const struct logstore_query *q, struct last *last)
{
	size_t first = seek_time(m, q->since_ms), end = line_begin(m, first, m->len);
	int r = 0;

	v->segments.list[segment].done = end;
	count_unfinished(v, segment, m);
	while (r == 0 && end > first && last->n < last->max) {
		size_t at = line_begin(m, first, end - 1), len = end - 1 - at;
		const char *line = m->data + at;
		struct found f = { .segment = segment };

		end = at;
		if (!view_peek(v, &line, &len, &f.peek) || !query_wants(q, &f.peek, line, len))
			continue;
		f.at = (size_t)(line - m->data);
		f.len = len;
		r = last_add(last, &f);
	}
	return r;
}

/* Hands out what was collected, oldest first, mapping each segment once more. */
static int last_emit(struct logstore_view *v, const struct last *last, logstore_fn *fn, void *arg)
{
	auto_map struct map m = { 0 };
	size_t mapped = SIZE_MAX;
	int r = 0;

	for (size_t i = last->n; r == 0 && i-- > 0;) {
		const struct found *f = &last->list[i];

		if (f->segment != mapped) {
			const struct segment *s = &v->segments.list[f->segment];

			map_done(&m);
			mapped = f->segment;
			r = map_segment(&m, v->dirfd, s, s->size);
		}
		if (r == 0 && f->at + f->len <= m.len)
			r = fn(arg, &f->peek, m.data + f->at, f->len);
	}
	return r;
}

static int read_last(
	struct logstore_view *v, const struct logstore_query *q, logstore_fn *fn, void *arg)
{
	__attribute__((cleanup(last_done))) struct last last = { .max = q->last };
	int r = 0;

	for (size_t i = v->segments.n; r == 0 && i-- > 0;) {
		struct segment *s = &v->segments.list[i];
		auto_map struct map m = { 0 };

		s->done = s->size;
		if (last.n == last.max)
			continue;
		r = map_segment(&m, v->dirfd, s, s->size);
		if (r == 0)
			r = collect_backward(v, i, &m, q, &last);
	}
	return r < 0 ? r : last_emit(v, &last, fn, arg);
}

int logstore_read(
	struct logstore_view *v, const struct logstore_query *q, logstore_fn *fn, void *arg)
{
	return q->last ? read_last(v, q, fn, arg) : read_all(v, q, fn, arg);
}

/* ---- Following -------------------------------------------------------------------------- */

int logstore_watch(struct logstore_view *v)
{
	auto_close int fd = -1;
	char dir[32];

	if (v->watch >= 0)
		return v->watch;
	fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	(void)snprintf(dir, sizeof(dir), "/proc/self/fd/%d", v->dirfd);
	if (fd < 0 || inotify_add_watch(fd, dir, IN_MODIFY | IN_CREATE | IN_MOVE_SELF | IN_DELETE_SELF) < 0)
		return -errno;
	v->watch = take_fd(fd);
	return v->watch;
}

bool logstore_watch_clear(struct logstore_view *v)
{
	char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	bool is_there = true;
	ssize_t n;

	while (v->watch >= 0 && (n = read(v->watch, events, sizeof(events))) > 0) {
		const struct inotify_event *e;

		for (ssize_t at = 0; at < n; at += (ssize_t)(sizeof(*e) + e->len)) {
			e = (const struct inotify_event *)(const void *)(events + at);
			if (e->mask & (IN_MOVE_SELF | IN_DELETE_SELF | IN_IGNORED))
				is_there = false;
		}
	}
	return is_there;
}

/* Segments that began since: the list is taken anew, what was read stays read. */
static int view_refresh(struct logstore_view *v)
{
	struct segments fresh = { 0 };
	int r = segments_list(&fresh, v->dirfd);

	if (r < 0)
		return r;
	for (size_t i = 0, j = 0; i < fresh.n; i++) {
		while (j < v->segments.n && v->segments.list[j].number < fresh.list[i].number)
			j++;
		if (j < v->segments.n && v->segments.list[j].number == fresh.list[i].number)
			fresh.list[i].done = v->segments.list[j].done;
	}
	segments_done(&v->segments);
	v->segments = fresh;
	return 0;
}

/* Passes lines on until one that still counts. */
struct follower {
	logstore_fn *fn;
	void *arg;
	uint64_t now_ms;
	int wait_ms;
};

enum { FOLLOW_HELD = 1 };

static int follow_line(void *arg, const struct event_peek *peek, const char *line, size_t len)
{
	struct follower *f = arg;
	uint64_t settled = peek->time_ms + LOG_FOLD_MS;

	if (peek->count && peek->time_ms <= f->now_ms && f->now_ms < settled) {
		f->wait_ms = (int)(settled - f->now_ms);
		return FOLLOW_HELD;
	}
	return f->fn(f->arg, peek, line, len);
}

static int follow_segment(struct logstore_view *v, struct segment *s,
	const struct logstore_query *q, struct follower *f)
{
	auto_map struct map m = { 0 };
	size_t len;
	int r;

	if (s->done >= s->size)
		return 0;
	r = map_segment(&m, v->dirfd, s, s->size);
	while (r == 0 && line_at(&m, s->done, &len)) {
		struct map one = { .data = m.data, .len = s->done + len + 1 };
		size_t at;

		r = read_forward(v, &one, s->done, q, follow_line, f, &at);
		if (r != FOLLOW_HELD)
			s->done = at;
	}
	return r;
}

int logstore_follow(struct logstore_view *v, const struct logstore_query *q, uint64_t now_ms,
	logstore_fn *fn, void *arg, int *ret_wait_ms)
{
	struct follower f = { .fn = fn, .arg = arg, .now_ms = now_ms, .wait_ms = -1 };
	int r = view_refresh(v);

	for (size_t i = 0; r == 0 && i < v->segments.n; i++)
		r = follow_segment(v, &v->segments.list[i], q, &f);
	*ret_wait_ms = f.wait_ms;
	return r == FOLLOW_HELD ? 0 : r;
}
