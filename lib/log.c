/*
 * Pending lines and the folding of floods.
 *
 * Folding has to be both cheap and durable. A count that is kept in memory and written later would
 * be lost with the process, so it lives in the line itself: once a kind of event floods, one more
 * line of it is written with fields of fixed width, and each flush that saw repeats rewrites those
 * 28 bytes. Linux appends even a pwrite(2) while O_APPEND is set, hence the flag is taken off
 * around it; that is why no other process may share the open file description. Should the line
 * not be where it is expected, or the descriptor not allow it, a new folded line is written.
 */
#include "lib/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/cleanup.h"

enum fold_state {
	FOLD_COUNTING = 0, /* lines are written in full; zeroed memory is an empty slot */
	FOLD_PENDING,	   /* the folded line is in the pending buffer, at .at */
	FOLD_WRITTEN,	   /* it is in the file, at offset .at */
};

struct fold {
	enum fold_state state;
	bool is_verified; /* the line was seen at .at */
	size_t len;
	uint64_t since_ms;
	uint64_t until_ms;
	uint32_t seen;	    /* full lines since since_ms */
	uint32_t count;	    /* events the folded line stands for */
	uint32_t unwritten; /* of those, not yet in the file (FOLD_WRITTEN only) */
	off_t at;
	char identity[LOG_FOLD_LINE_MAX];
};

struct log {
	int fd;
	bool is_torn;  /* the last write ended inside a line */
	int refused_r; /* an event could not be kept, and why; told by the next flush */
	uint32_t n_refused;
	int append_flags; /* of the descriptor, as fcntl() gave them; -1: it cannot fold in place */
	uint64_t unwritten; /* bit N: folds[N] has unwritten counts */
	uint64_t unplaced;  /* bit N: folds[N] has its line in the pending buffer */
	size_t written;
	struct buf pending;
	struct fold folds[LOG_FOLD_SLOTS];
};

static_assert(LOG_FOLD_SLOTS == 64, "one bit for each in unwritten and unplaced");

static void use_fd(struct log *log, int fd)
{
	log->fd = fd;
	log->append_flags = fcntl(fd, F_GETFL);
	log->is_torn = false;
}

struct log *log_new(int fd)
{
	struct log *log = calloc(1, sizeof(*log));

	if (!log) {
		cleanup_close(&fd);
		return NULL;
	}
	use_fd(log, fd);
	buf_init(&log->pending, LOG_PENDING_MAX);
	return log;
}

void log_free(struct log *log)
{
	if (!log)
		return;
	(void)log_flush(log);
	cleanup_close(&log->fd);
	buf_done(&log->pending);
	free(log);
}

size_t log_written(const struct log *log)
{
	return log->written;
}

static uint64_t fold_bit(const struct log *log, const struct fold *f)
{
	return 1ull << (f - log->folds);
}

static void fold_set_state(struct log *log, struct fold *f, enum fold_state state)
{
	f->state = state;
	if (state == FOLD_PENDING)
		log->unplaced |= fold_bit(log, f);
	else
		log->unplaced &= ~fold_bit(log, f);
}

/* Calls for each fold in @mask; the first error ends it. */
static int folds_each(struct log *log, uint64_t mask, int (*fn)(struct log *log, struct fold *f))
{
	int r = 0;

	for (; mask && r == 0; mask &= mask - 1)
		r = fn(log, &log->folds[__builtin_ctzll(mask)]);
	return r;
}

/* Not keyed: a collision costs folding, never an event, for identities are compared in full. */
static struct fold *fold_slot(struct log *log, const char *identity, size_t len)
{
	uint64_t h = len, word;
	size_t i;

	for (i = 0; i + sizeof(word) <= len; i += sizeof(word)) {
		memcpy(&word, identity + i, sizeof(word));
		h = (h ^ word) * 0x9e3779b97f4a7c15u;
		h ^= h >> 29;
	}
	for (; i < len; i++)
		h = (h ^ (unsigned char)identity[i]) * 0x9e3779b97f4a7c15u;
	return &log->folds[(h >> 32) % LOG_FOLD_SLOTS];
}

/* A line of the fold's kind with this head; its offset in the pending buffer or -errno. */
static off_t fold_append(struct log *log, const struct fold *f, const struct event *head)
{
	size_t before = log->pending.len;
	int r;

	r = event_format_head(&log->pending, head);
	if (r == 0)
		r = buf_append(&log->pending, f->identity, f->len);
	if (r == 0)
		return (off_t)before;
	buf_truncate(&log->pending, before);
	return r;
}

/* The count and the last time, as they stand between EVENT_COUNT_AT and EVENT_FOLD_END. */
enum { FOLD_FIELDS = EVENT_FOLD_END - EVENT_COUNT_AT };

static void fold_fields(char *p, uint32_t count, uint64_t until_ms)
{
	event_put_padded(p, EVENT_COUNT_WIDTH, count);
	memcpy(p + EVENT_COUNT_WIDTH, ",\"u\":", 5);
	event_put_padded(p + EVENT_UNTIL_AT - EVENT_COUNT_AT, EVENT_TIME_WIDTH, until_ms);
}

/* Whether the fold's line is in the file where it was written: only we change it. */
static bool fold_verify(struct log *log, struct fold *f)
{
	char there[EVENT_COUNT_AT + EVENT_COUNT_WIDTH], count[EVENT_COUNT_WIDTH];

	if (f->is_verified)
		return true;
	event_put_padded(count, sizeof(count), f->count - f->unwritten);
	if (pread(log->fd, there, sizeof(there), f->at) != (ssize_t)sizeof(there) ||
		memcmp(there, "{\"t\":", 5) != 0 ||
		memcmp(there + EVENT_COUNT_AT - 5, ",\"n\":", 5) ||
		memcmp(there + EVENT_COUNT_AT, count, sizeof(count)) != 0)
		return false;
	f->is_verified = true;
	return true;
}

static bool fold_rewrite(struct log *log, struct fold *f)
{
	char fields[FOLD_FIELDS];
	int flags = log->append_flags;
	ssize_t n;

	if (flags < 0 || !fold_verify(log, f) || fcntl(log->fd, F_SETFL, flags & ~O_APPEND) < 0)
		return false;
	fold_fields(fields, f->count, f->until_ms);
	n = pwrite(log->fd, fields, sizeof(fields), f->at + EVENT_COUNT_AT);
	if (fcntl(log->fd, F_SETFL, flags) < 0)
		log->refused_r = -errno;
	return n == (ssize_t)sizeof(fields);
}

static void fold_settled(struct log *log, struct fold *f)
{
	f->unwritten = 0;
	log->unwritten &= ~fold_bit(log, f);
}

/* What the fold counted goes into a new line. 0 or -errno. */
static int fold_respawn(struct log *log, struct fold *f)
{
	struct event head = {
		.time_ms = f->until_ms, .count = f->unwritten, .until_ms = f->until_ms
	};
	off_t at = fold_append(log, f, &head);

	if (at < 0)
		return (int)at;
	fold_set_state(log, f, FOLD_PENDING);
	f->is_verified = false;
	f->at = at;
	f->count = f->unwritten;
	fold_settled(log, f);
	return 0;
}

/* What the fold counted goes into its line, or else into a new one. 0 or -errno. */
static int fold_write(struct log *log, struct fold *f)
{
	if (!f->unwritten)
		return 0;
	if (!fold_rewrite(log, f))
		return fold_respawn(log, f);
	fold_settled(log, f);
	return 0;
}

/* Counts one more event into the fold's line. */
static void fold_bump(struct log *log, struct fold *f, uint64_t now)
{
	f->count++;
	f->until_ms = now;
	if (f->state == FOLD_PENDING) {
		fold_fields(buf_head(&log->pending) + f->at + EVENT_COUNT_AT, f->count, now);
		return;
	}
	f->unwritten++;
	log->unwritten |= fold_bit(log, f);
}

static int fold_open(struct log *log, struct fold *f, const struct event *e, uint64_t now)
{
	struct event head = *e;
	off_t at;

	head.time_ms = now;
	head.count = 1;
	head.until_ms = now;
	at = fold_append(log, f, &head);
	if (at < 0)
		return (int)at;
	fold_set_state(log, f, FOLD_PENDING);
	f->is_verified = false;
	f->at = at;
	f->count = 1;
	f->until_ms = now;
	return 0;
}

/*
 * Begins to watch another kind of event, or a new second of the same. Closing the old one may grow
 * the pending buffer, hence the offset.
 */
static void fold_restart(
	struct log *log, struct fold *f, size_t identity_at, size_t len, uint64_t now)
{
	if (fold_write(log, f) < 0)
		return;
	fold_set_state(log, f, FOLD_COUNTING);
	f->since_ms = now;
	f->seen = 1;
	f->len = len;
	memcpy(f->identity, buf_head(&log->pending) + identity_at, len);
}

static bool fold_is_due(const struct fold *f, uint64_t now)
{
	return now < f->since_ms || now - f->since_ms >= LOG_FOLD_MS;
}

/*
 * Decides what becomes of the line that was just put at @at in the pending buffer: it stays, or it
 * is taken out again and counted.
 */
static int fold_line(
	struct log *log, size_t at, size_t identity_at, const struct event *e, uint64_t now)
{
	const char *identity = buf_head(&log->pending) + identity_at;
	size_t len = log->pending.len - identity_at;
	struct fold *f;

	if (len > LOG_FOLD_LINE_MAX)
		return 0;
	f = fold_slot(log, identity, len);
	if (f->len != len || memcmp(f->identity, identity, len) != 0 || fold_is_due(f, now)) {
		fold_restart(log, f, identity_at, len, now);
		return 0;
	}
	if (f->seen < LOG_FOLD_AFTER) {
		f->seen++;
		return 0;
	}
	buf_truncate(&log->pending, at);
	if (f->state == FOLD_COUNTING)
		return fold_open(log, f, e, now);
	fold_bump(log, f, now);
	return 0;
}

static int collect(struct log *log, const struct event *e)
{
	size_t at = log->pending.len, identity_at;
	struct event timed = *e;
	int r;

	if (!timed.time_ms)
		timed.time_ms = event_now_ms();
	r = event_format_head(&log->pending, &timed);
	identity_at = log->pending.len;
	if (r == 0)
		r = event_format_identity(&log->pending, &timed);
	if (r < 0) {
		buf_truncate(&log->pending, at);
		return r;
	}
	return e->count ? 0 : fold_line(log, at, identity_at, &timed, timed.time_ms);
}

void log_event(struct log *log, const struct event *e)
{
	int r;

	if (log->pending.len > LOG_PENDING_WRITE)
		(void)log_flush(log);
	r = collect(log, e);
	if (r < 0) {
		log->refused_r = r;
		log->n_refused++;
	}
}

/* @n bytes from the front are in the file from @start on: the folds among them know their place. */
static void folds_moved(struct log *log, off_t start, size_t n)
{
	for (uint64_t mask = log->unplaced; mask; mask &= mask - 1) {
		struct fold *f = &log->folds[__builtin_ctzll(mask)];

		if (f->at >= (off_t)n) {
			f->at -= (off_t)n;
		} else if (start < 0) {
			fold_set_state(log, f, FOLD_COUNTING);
		} else {
			fold_set_state(log, f, FOLD_WRITTEN);
			f->at += start;
		}
	}
}

/* The whole lines among the first @n pending bytes. */
static size_t whole_lines(const struct log *log, size_t n)
{
	const char *end = memrchr(buf_head(&log->pending), '\n', n);

	return end ? (size_t)(end - buf_head(&log->pending)) + 1 : 0;
}

/*
 * One write(2). After a short one the line it ended in is written again as a whole, behind a line
 * break: another writer may have appended in between.
 */
static int write_once(struct log *log)
{
	ssize_t n;
	size_t whole;

	if (log->is_torn && write(log->fd, "\n", 1) != 1)
		return errno ? -errno : -EIO;
	log->is_torn = false;
	do
		n = write(log->fd, buf_head(&log->pending), log->pending.len);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? -errno : -EIO;
	log->written += (size_t)n;
	whole = whole_lines(log, (size_t)n);
	log->is_torn = whole < (size_t)n;
	if (log->unplaced) {
		off_t end = lseek(log->fd, 0, SEEK_CUR);

		folds_moved(log, end < 0 ? -1 : end - n, whole);
	}
	buf_consume(&log->pending, whole);
	return 0;
}

/* Says how many events were refused while the disk was full; their decisions had no effect. */
static void report_refused(struct log *log)
{
	struct event e = {
		.level = EVENT_ERROR,
		.adapter = EVENT_LIFECYCLE,
		.message = "the log could not be written; what these events decided was refused",
		.count = log->n_refused,
	};

	if (log->n_refused && collect(log, &e) == 0)
		log->n_refused = 0;
}

static int take_refused(struct log *log)
{
	int r = log->refused_r;

	log->refused_r = 0;
	return r;
}

int log_flush(struct log *log)
{
	int r;

	r = folds_each(log, log->unwritten, fold_write);
	while (r == 0 && log->pending.len) {
		r = write_once(log);
		if (r == 0 && !log->pending.len)
			report_refused(log);
	}
	if (r < 0)
		return r;
	return take_refused(log);
}

/* The old segment cannot be changed any more: counts it does not have go to the new one. */
static int fold_leave(struct log *log, struct fold *f)
{
	if (fold_respawn(log, f) == 0)
		return 0;
	log->refused_r = -ENOBUFS;
	log->n_refused += f->unwritten;
	fold_settled(log, f);
	return 0;
}

void log_set_fd(struct log *log, int fd)
{
	(void)log_flush(log);
	(void)folds_each(log, log->unwritten, fold_leave);
	for (size_t i = 0; i < LOG_FOLD_SLOTS; i++)
		if (log->folds[i].state == FOLD_WRITTEN)
			fold_set_state(log, &log->folds[i], FOLD_COUNTING);
	cleanup_close(&log->fd);
	use_fd(log, fd);
}
