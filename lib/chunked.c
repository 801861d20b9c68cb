#include "lib/chunked.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/str.h"

enum { HEAD_MAX = 20 }; /* a size line: 16 digits, CRLF, the end of the string */

void chunked_init(struct chunked *c)
{
	*c = (struct chunked){ .state = CHUNKED_SIZE };
	buf_init(&c->trailers, CHUNKED_TRAILERS_MAX);
}

void chunked_done(struct chunked *c)
{
	buf_done(&c->trailers);
}

static int refuse(struct chunked *c, const char **ret_why, const char *why)
{
	c->state = CHUNKED_BROKEN;
	*ret_why = why;
	return -EBADMSG;
}

/* Every byte of a size line beside its digits counts, so that blanks are bounded too. */
static int count_extra(struct chunked *c, const char **ret_why)
{
	if (++c->extension > CHUNKED_EXTENSION_MAX)
		return refuse(c, ret_why, "chunk extension is too long");
	return 0;
}

static int on_size(struct chunked *c, char ch, const char **ret_why)
{
	int digit = str_hex_digit(ch);

	if (digit >= 0) {
		if (++c->digits > CHUNKED_DIGITS_MAX || c->left >> 59)
			return refuse(c, ret_why, "chunk size is too large");
		c->left = c->left << 4 | (uint64_t)digit;
		return 0;
	}
	if (!c->digits) {
		if (ch == ' ' || ch == '\t')
			return count_extra(c, ret_why);
		return refuse(c, ret_why, "chunk size is not a hexadecimal number");
	}
	if (ch == '\r') {
		c->state = CHUNKED_SIZE_LF;
		return 0;
	}
	if (ch != ';' && ch != ' ' && ch != '\t')
		return refuse(c, ret_why, "chunk size is not a hexadecimal number");
	c->state = CHUNKED_EXTENSION;
	/* Blanks may only be followed by the end of the line or ";": "5 5" is no size. */
	c->is_blank = ch != ';';
	return count_extra(c, ret_why);
}

static int on_extension(struct chunked *c, char ch, const char **ret_why)
{
	if (ch == '\r') {
		c->state = CHUNKED_SIZE_LF;
		return 0;
	}
	if (((unsigned char)ch < 0x20 && ch != '\t') || ch == 0x7f)
		return refuse(c, ret_why, "chunk extension contains a control byte");
	if (c->is_blank && ch != ' ' && ch != '\t' && ch != ';')
		return refuse(c, ret_why, "chunk size is not a hexadecimal number");
	if (ch == ';')
		c->is_blank = false;
	return count_extra(c, ret_why);
}

static int on_size_lf(struct chunked *c, char ch, const char **ret_why)
{
	if (ch != '\n')
		return refuse(c, ret_why, "chunk size line does not end in CRLF");
	c->state = c->left ? CHUNKED_BODY : CHUNKED_TRAILER;
	return 0;
}

static int on_body_cr(struct chunked *c, char ch, const char **ret_why)
{
	if (ch != '\r')
		return refuse(c, ret_why, "chunk does not end in CRLF");
	c->state = CHUNKED_BODY_LF;
	return 0;
}

static int on_body_lf(struct chunked *c, char ch, const char **ret_why)
{
	if (ch != '\n')
		return refuse(c, ret_why, "chunk does not end in CRLF");
	c->state = CHUNKED_SIZE;
	c->digits = 0;
	c->extension = 0;
	return 0;
}

/* Lines are validated by whoever forwards them; here only their ends are looked for. */
static int on_trailer(struct chunked *c, char ch, const char **ret_why)
{
	const char *t;
	size_t n;
	int r = buf_putc(&c->trailers, ch);

	if (r == -ENOBUFS)
		return refuse(c, ret_why, "trailers are too long");
	if (r < 0)
		return r;
	t = buf_head(&c->trailers);
	n = c->trailers.len;
	if (ch == '\n' && (n < 2 || t[n - 2] != '\r'))
		return refuse(c, ret_why, "trailer line does not end in CRLF");
	if (n >= 2 && t[n - 2] == '\r' && ch != '\n')
		return refuse(c, ret_why, "trailer line does not end in CRLF");
	if (n == 2 ? ch == '\n' : n >= 4 && memcmp(t + n - 4, "\r\n\r\n", 4) == 0)
		c->state = CHUNKED_DONE;
	return 0;
}

static int step(struct chunked *c, char ch, const char **ret_why)
{
	static int (*const on_byte[])(struct chunked *, char, const char **) = {
		[CHUNKED_SIZE] = on_size,
		[CHUNKED_EXTENSION] = on_extension,
		[CHUNKED_SIZE_LF] = on_size_lf,
		[CHUNKED_BODY_CR] = on_body_cr,
		[CHUNKED_BODY_LF] = on_body_lf,
		[CHUNKED_TRAILER] = on_trailer,
	};

	return on_byte[c->state](c, ch, ret_why);
}

int chunked_next(struct chunked *c, const char *in, size_t len, size_t *ret_used,
	const char **ret_data, size_t *ret_len, const char **ret_why)
{
	size_t i = 0;

	*ret_used = 0;
	if (c->state == CHUNKED_BROKEN)
		return refuse(c, ret_why, "chunked body was refused");
	while (c->state != CHUNKED_DONE) {
		int r;

		if (i == len) {
			*ret_used = i;
			return CHUNKED_MORE;
		}
		if (c->state == CHUNKED_BODY) {
			size_t n = c->left < len - i ? (size_t)c->left : len - i;

			*ret_data = in + i;
			*ret_len = n;
			*ret_used = i + n;
			c->left -= n;
			if (!c->left)
				c->state = CHUNKED_BODY_CR;
			return CHUNKED_DATA;
		}
		r = step(c, in[i], ret_why);
		if (r < 0)
			return r;
		i++;
	}
	*ret_used = i;
	return CHUNKED_END;
}

int chunked_put(struct buf *out, const char *data, size_t len)
{
	char head[HEAD_MAX];
	int n = snprintf(head, sizeof(head), "%zx\r\n", len);
	int r = buf_append(out, head, (size_t)n);

	if (r == 0)
		r = buf_append(out, data, len);
	return r < 0 ? r : buf_append(out, "\r\n", 2);
}
