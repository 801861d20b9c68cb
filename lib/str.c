#include "lib/str.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/cleanup.h"

bool str_copy(char *dst, size_t size, const char *src)
{
	size_t n = strlen(src);

	if (n >= size) {
		dst[0] = '\0';
		return false;
	}
	memcpy(dst, src, n + 1);
	return true;
}

bool str_format(char *dst, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(dst, size, fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < size)
		return true;
	dst[0] = '\0';
	return false;
}

bool str_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

bool str_eq(const char *a, const char *b)
{
	if (!a || !b)
		return a == b;
	return strcmp(a, b) == 0;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

bool str_case_eq(const char *a, const char *b)
{
	if (!a || !b)
		return a == b;
	while (*a && lower(*a) == lower(*b)) {
		a++;
		b++;
	}
	return lower(*a) == lower(*b);
}

void str_lower(char *s)
{
	for (; *s; s++)
		*s = lower(*s);
}

int str_to_u64(const char *s, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (!*s || (s[0] == '0' && s[1]))
		return -EINVAL;
	for (; *s; s++) {
		uint64_t d = (uint64_t)(*s - '0');

		if (*s < '0' || *s > '9')
			return -EINVAL;
		if (v > (UINT64_MAX - d) / 10)
			return -ERANGE;
		v = v * 10 + d;
	}
	if (v > max)
		return -ERANGE;
	*ret = v;
	return 0;
}

int str_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void str_to_hex(const void *data, size_t len, char *ret)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *from = data;

	for (size_t i = 0; i < len; i++) {
		*ret++ = digits[from[i] >> 4];
		*ret++ = digits[from[i] & 15];
	}
	*ret = '\0';
}

int str_to_duration_ms(const char *s, uint64_t *ret_ms)
{
	static const struct {
		char unit;
		uint64_t ms;
	} units[] = { { 's', 1000 }, { 'm', 60000 }, { 'h', 3600000 }, { 'd', 86400000 } };
	uint64_t scale = 1000, v;
	size_t n = strlen(s);
	char digits[24];
	int r;

	if (!n || n >= sizeof(digits))
		return -EINVAL;
	memcpy(digits, s, n + 1);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (s[n - 1] == units[i].unit) {
			scale = units[i].ms;
			digits[n - 1] = '\0';
		}
	}
	r = str_to_u64(digits, UINT64_MAX / 86400000, &v);
	if (r < 0)
		return -EINVAL;
	*ret_ms = v * scale;
	return 0;
}

size_t str_utf8_decode(const unsigned char *s, size_t len, uint32_t *ret_cp)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = s[0] < 0x80 ? 1 : (s[0] & 0xe0) == 0xc0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 :
		   (s[0] & 0xf8) == 0xf0				     ? 4 :
									       0;
	uint32_t cp;

	if (!n || n > len)
		return 0;
	cp = n == 1 ? s[0] : s[0] & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		cp = cp << 6 | (s[i] & 0x3f);
	}
	if (cp < least[n] || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
		return 0;
	*ret_cp = cp;
	return n;
}

size_t str_utf8_encode(char *out, uint32_t cp)
{
	size_t n = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
	static const unsigned char lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };

	for (size_t i = n; i-- > 1; cp >>= 6)
		out[i] = (char)(0x80 | (cp & 0x3f));
	out[0] = (char)(lead[n] | cp);
	return n;
}

bool str_is_utf8(const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *)s;

	while (len) {
		uint32_t cp;
		size_t n = *p < 0x80 ? 1 : str_utf8_decode(p, len, &cp);

		if (!n)
			return false;
		p += n;
		len -= n;
	}
	return true;
}

/*
 * Characters that move the cursor, reorder text, or are invisible or blank but for the space, which alone
 * makes a value quoted: they can forge a line. In order.
 */
static const struct {
	uint32_t first, last;
} deceptive[] = {
	{ 0x00, 0x1f }, { 0x7f, 0xa0 }, { 0xad, 0xad }, { 0x34f, 0x34f }, { 0x61c, 0x61c },
	{ 0x115f, 0x1160 }, { 0x1680, 0x1680 }, { 0x17b4, 0x17b5 }, { 0x180e, 0x180e }, { 0x2000, 0x200f },
	{ 0x2028, 0x202f }, { 0x205f, 0x206f }, { 0x2800, 0x2800 }, { 0x3000, 0x3000 }, { 0x3164, 0x3164 },
	{ 0xfeff, 0xfeff }, { 0xffa0, 0xffa0 }, { 0xfff9, 0xfffb }, { 0xe0000, 0xe007f },
};

static bool is_deceptive(uint32_t cp)
{
	size_t i = 0;

	while (i < ARRAY_SIZE(deceptive) && deceptive[i].last < cp)
		i++;
	return i < ARRAY_SIZE(deceptive) && deceptive[i].first <= cp;
}

int str_escape(struct buf *out, const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *)s;
	int r = 0;

	while (len && r == 0) {
		uint32_t cp = 0;
		size_t n = str_utf8_decode(p, len, &cp);

		if (!n) {
			r = buf_printf(out, "\\x%02x", *p);
			n = 1;
		} else if (cp == '\\') {
			r = buf_puts(out, "\\\\");
		} else if (!is_deceptive(cp)) {
			r = buf_append(out, p, n);
		} else if (cp < 0x100) {
			r = buf_printf(out, "\\x%02x", (unsigned int)cp);
		} else {
			r = buf_printf(out, "\\u{%x}", (unsigned int)cp);
		}
		p += n;
		len -= n;
	}
	return r;
}

static bool is_json_plain(char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* Eight bytes at once: the high bit of each byte that is not plain (and perhaps of some behind). */
static uint64_t odd_bytes(uint64_t w)
{
	const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
	uint64_t quote = w ^ ones * '"', backslash = w ^ ones * '\\';

	return ((w - ones * 0x20) | (quote - ones) | (backslash - ones) | w | (w + ones)) & high;
}

size_t str_json_plain(const char *s, size_t len)
{
	size_t n = 0;
	uint64_t w;

	for (; len - n >= sizeof(w); n += sizeof(w)) {
		memcpy(&w, s + n, sizeof(w));
		if (odd_bytes(w))
			break;
	}
	while (n < len && is_json_plain(s[n]))
		n++;
	return n;
}

/* Bytes that are not UTF-8 become U+FFFD: JSON has no way to carry them. */
int str_json_escape(struct buf *out, const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *)s;
	int r = 0;

	while (len && r == 0) {
		uint32_t cp = 0;
		size_t n = str_utf8_decode(p, len, &cp);

		if (!n) {
			r = buf_puts(out, "\\ufffd");
			n = 1;
		} else if (cp == '"' || cp == '\\') {
			r = buf_printf(out, "\\%c", (char)cp);
		} else if (cp < 0x10000 && is_deceptive(cp)) {
			r = buf_printf(out, "\\u%04x", (unsigned int)cp);
		} else {
			r = buf_append(out, p, n);
		}
		p += n;
		len -= n;
	}
	return r;
}

enum { DISTANCE_MAX = 64 };

unsigned int str_distance(const char *a, const char *b, unsigned int limit)
{
	size_t n = strlen(a), m = strlen(b);
	unsigned int row[DISTANCE_MAX + 1];

	if (n > DISTANCE_MAX || m > DISTANCE_MAX)
		return limit + 1;
	for (size_t j = 0; j <= m; j++)
		row[j] = (unsigned int)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned int diagonal = row[0];

		row[0] = (unsigned int)i;
		for (size_t j = 1; j <= m; j++) {
			unsigned int best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[m] > limit ? limit + 1 : row[m];
}

const char *str_suggest(const char *given, const char *const *names)
{
	unsigned int limit = strlen(given) < 5 ? 1 : 2, best = limit + 1;
	const char *found = NULL;

	for (; *names; names++) {
		unsigned int d = str_distance(given, *names, limit);

		if (d < best) {
			best = d;
			found = *names;
		}
	}
	return found;
}
