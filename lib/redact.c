#include "lib/redact.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/str.h"

static const char mark[] = "sk-", replacement[] = "[REDACTED]";

enum { MARK = sizeof(mark) - 1, KEY_MIN = 16 };

static bool is_key_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-';
}

/* The length of the match at @s, where the mark is, or 0. */
static size_t match_len(const char *s, size_t len)
{
	size_t n = MARK;

	while (n < len && is_key_char(s[n]))
		n++;
	return n >= MARK + KEY_MIN ? n : 0;
}

int redact(struct buf *out, const char *body, size_t len)
{
	const char *at = body, *end = body + len, *hit;
	int count = 0, r;

	if (len > REDACT_BODY_MAX)
		return -EFBIG;
	if (!str_is_utf8(body, len))
		return -EILSEQ;
	while ((hit = memmem(at, (size_t)(end - at), mark, MARK))) {
		size_t n = match_len(hit, (size_t)(end - hit));
		size_t keep = (size_t)(hit - at) + (n ? 0 : MARK);

		r = buf_append(out, at, keep);
		if (r == 0 && n)
			r = buf_append(out, replacement, sizeof(replacement) - 1);
		if (r < 0)
			return r;
		at = hit + (n ? n : MARK);
		count += n > 0;
	}
	r = buf_append(out, at, (size_t)(end - at));
	return r < 0 ? r : count;
}
