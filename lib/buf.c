#include "lib/buf.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BUF_MIN = 256 };

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max };
}

void buf_done(struct buf *b)
{
	free(b->data);
	*b = (struct buf){ .max = b->max };
}

void buf_reset(struct buf *b)
{
	b->off = 0;
	b->len = 0;
}

void buf_consume(struct buf *b, size_t n)
{
	if (n >= b->len) {
		buf_reset(b);
		return;
	}
	b->off += n;
	b->len -= n;
}

void buf_truncate(struct buf *b, size_t len)
{
	if (len < b->len)
		b->len = len;
}

/* Doubling keeps appends linear; the maximum plus one for the NUL of buf_cstr() ends it. */
static size_t grown(const struct buf *b, size_t need)
{
	size_t cap = b->alloc > BUF_MIN ? b->alloc : BUF_MIN;

	while (cap < need)
		cap *= 2;
	if (cap > b->max + 1)
		cap = b->max + 1;
	return cap > need ? cap : need;
}

static int make_room(struct buf *b, size_t n)
{
	size_t need = b->len + n + 1;
	char *p;

	if (b->off + need <= b->alloc)
		return 0;
	if (need <= b->alloc) {
		memmove(b->data, b->data + b->off, b->len);
		b->off = 0;
		return 0;
	}
	need = grown(b, need);
	p = malloc(need);
	if (!p)
		return -ENOMEM;
	if (b->len)
		memcpy(p, b->data + b->off, b->len);
	free(b->data);
	b->data = p;
	b->alloc = need;
	b->off = 0;
	return 0;
}

char *buf_reserve(struct buf *b, size_t n)
{
	if (n > buf_room(b) || make_room(b, n) < 0)
		return NULL;
	return b->data + b->off + b->len;
}

void buf_commit(struct buf *b, size_t n)
{
	b->len += n;
}

int buf_append(struct buf *b, const void *data, size_t n)
{
	int r;

	if (n > buf_room(b))
		return -ENOBUFS;
	r = make_room(b, n);
	if (r < 0)
		return r;
	if (n)
		memcpy(b->data + b->off + b->len, data, n);
	b->len += n;
	return 0;
}

int buf_puts(struct buf *b, const char *s)
{
	return buf_append(b, s, strlen(s));
}

int buf_putc(struct buf *b, char c)
{
	return buf_append(b, &c, 1);
}

int buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	int n, r;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0)
		return -EINVAL;
	if ((size_t)n > buf_room(b))
		return -ENOBUFS;
	r = make_room(b, (size_t)n);
	if (r < 0)
		return r;
	(void)vsnprintf(b->data + b->off + b->len, (size_t)n + 1, fmt, ap);
	b->len += (size_t)n;
	return 0;
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = buf_vprintf(b, fmt, ap);
	va_end(ap);
	return r;
}

char *buf_cstr(struct buf *b)
{
	if (make_room(b, 0) < 0)
		return NULL;
	b->data[b->off + b->len] = '\0';
	return b->data + b->off;
}

char *buf_steal(struct buf *b)
{
	char *s = buf_cstr(b);

	if (!s)
		return NULL;
	if (b->off)
		memmove(b->data, s, b->len + 1);
	s = b->data;
	*b = (struct buf){ .max = b->max };
	return s;
}

ssize_t buf_read(struct buf *b, int fd, size_t n)
{
	ssize_t got;
	char *p;

	if (n > buf_room(b))
		n = buf_room(b);
	if (!n)
		return -ENOBUFS;
	p = buf_reserve(b, n);
	if (!p)
		return -ENOMEM;
	do
		got = read(fd, p, n);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	buf_commit(b, (size_t)got);
	return got;
}

/* Whether @fd has nothing more to say: asked with one byte once the buffer is full. */
static int at_end(int fd)
{
	ssize_t n;
	char c;

	do
		n = read(fd, &c, 1);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n == 0 ? 0 : -EFBIG;
}

int buf_read_all(struct buf *b, int fd)
{
	for (;;) {
		ssize_t n;

		if (!buf_room(b))
			return at_end(fd);
		n = buf_read(b, fd, buf_room(b) < 65536 ? buf_room(b) : 65536);
		if (n <= 0)
			return (int)n;
	}
}
