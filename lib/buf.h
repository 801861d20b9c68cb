/*
 * Growable bytes with a hard maximum.
 *
 * Every buffer that a peer can fill is one of these, so that "how much can they make us hold" is
 * answered where the buffer is set up. Reading from the front is cheap: bytes are dropped by
 * moving an offset, the storage is compacted when room is needed.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <sys/types.h>

struct buf {
	char *data;   /* NULL until the first byte; owned */
	size_t off;   /* first byte still wanted */
	size_t len;   /* bytes from off */
	size_t alloc; /* bytes at data */
	size_t max;   /* len never passes this */
};

#define auto_buf __attribute__((cleanup(buf_done)))

void buf_init(struct buf *b, size_t max);
/* Releases the storage and keeps the maximum: the buffer can be used again. */
void buf_done(struct buf *b);

static inline char *buf_head(const struct buf *b)
{
	return b->data + b->off;
}

static inline size_t buf_room(const struct buf *b)
{
	return b->max - b->len;
}

/* Empties without releasing. */
void buf_reset(struct buf *b);
/* Drops @n bytes (at most len) from the front. */
void buf_consume(struct buf *b, size_t n);
/* Cuts the content to @len bytes (no-op if it is shorter). */
void buf_truncate(struct buf *b, size_t len);

/*
 * Makes room for @n more bytes and returns where to write them; NULL when that would pass the
 * maximum or memory is out. The bytes count only after buf_commit().
 */
char *buf_reserve(struct buf *b, size_t n);
void buf_commit(struct buf *b, size_t n);

/* 0, -ENOBUFS past the maximum, -ENOMEM. On failure nothing was added. */
int buf_append(struct buf *b, const void *data, size_t n);
int buf_puts(struct buf *b, const char *s);
int buf_putc(struct buf *b, char c);
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int buf_vprintf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

/* The content as a C string, NUL added beyond len; NULL when out of memory. Owned by @b. */
char *buf_cstr(struct buf *b);
/* The same, handed over: the caller frees it and @b is empty. */
char *buf_steal(struct buf *b);

/* read(2) of at most @n bytes into the buffer: count, 0 at end, -errno, -ENOBUFS when full. */
ssize_t buf_read(struct buf *b, int fd, size_t n);
/* Everything @fd has, up to the maximum: 0, -EFBIG beyond it, -errno. */
int buf_read_all(struct buf *b, int fd);
