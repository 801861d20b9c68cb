#include "lib/placeholder.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/str.h"

#define CANONICAL "openshell:resolve:env:"
#define ALIAS	  "OPENSHELL-RESOLVE-ENV-"

enum {
	CANONICAL_LEN = sizeof(CANONICAL) - 1,
	ALIAS_LEN = sizeof(ALIAS) - 1,
	HANDLE_HEX = 64,
	DECODED_MAX = 512 * 1024,
};

void placeholder_wipe(struct buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->alloc);
	buf_done(b);
}

bool placeholder_for(const char *key, char *ret, size_t size)
{
	return str_format(ret, size, "%s%s", CANONICAL, key);
}

static bool is_key_char(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '_';
}

static bool is_prefix_char(char c)
{
	return is_key_char(c) || c == '.' || c == '~' || c == '-';
}

static const char *find(const char *s, size_t len, const char *what, size_t n)
{
	return memmem(s, len, what, n);
}

/* --- percent-encoding --- */

/* Escapes that are none stay as they are. */
static int decode(struct buf *out, const char *s, size_t len, bool plus_is_space)
{
	int r = 0;

	for (size_t i = 0, n; i < len && r == 0; i += n) {
		for (n = 0; i + n < len && s[i + n] != '%' && s[i + n] != '+';)
			n++;
		if (n) {
			r = buf_append(out, s + i, n);
		} else if (s[i] == '%' && len - i > 2 && str_hex_digit(s[i + 1]) >= 0 && str_hex_digit(s[i + 2]) >= 0) {
			r = buf_putc(out, (char)(str_hex_digit(s[i + 1]) << 4 | str_hex_digit(s[i + 2])));
			n = 3;
		} else {
			r = buf_putc(out, s[i] == '+' && plus_is_space ? ' ' : s[i]);
			n = 1;
		}
	}
	return r;
}

/* Everything but @safe and what RFC 3986 calls unreserved. */
static int encode(struct buf *out, const char *s, size_t len, const char *safe)
{
	static const char digits[] = "0123456789ABCDEF";
	int r = 0;

	for (size_t i = 0; i < len && r == 0; i++) {
		const unsigned char c = (unsigned char)s[i];

		if (is_prefix_char((char)c) || (c && strchr(safe, c))) {
			r = buf_putc(out, (char)c);
		} else {
			const char escape[3] = { '%', digits[c >> 4], digits[c & 15] };

			r = buf_append(out, escape, sizeof(escape));
		}
	}
	return r;
}

bool placeholder_is_in(const char *s, size_t len)
{
	auto_buf struct buf plain;

	buf_init(&plain, len + 1);
	if (find(s, len, CANONICAL, CANONICAL_LEN) || find(s, len, ALIAS, ALIAS_LEN))
		return true;
	if (!len || !memchr(s, '%', len))
		return false;
	/* Out of memory is no reason to let one through. */
	if (decode(&plain, s, len, false) < 0)
		return true;
	return find(buf_head(&plain), plain.len, CANONICAL, CANONICAL_LEN) ||
	       find(buf_head(&plain), plain.len, ALIAS, ALIAS_LEN);
}

/* --- one placeholder --- */

struct found {
	const char *at, *end; /* all of it */
	const char *key;
	size_t key_len;
};

/* "v7_KEY" and "s<64 hex>_KEY" mean KEY as it is now. */
static void skip_revision(struct found *f)
{
	size_t n = 1;

	if (f->key_len < 4 || (f->key[0] != 'v' && f->key[0] != 's'))
		return;
	while (n < f->key_len &&
		(f->key[0] == 'v' ? f->key[n] >= '0' && f->key[n] <= '9' : str_hex_digit(f->key[n]) >= 0))
		n++;
	if (n == 1 || n + 1 >= f->key_len || f->key[n] != '_' ||
		(f->key[0] == 's' && n != 1 + HANDLE_HEX))
		return;
	f->key += n + 1;
	f->key_len -= n + 1;
}

static const char *earlier(const char *a, const char *b)
{
	return !a ? b : !b ? a : a < b ? a : b;
}

/*
 * The first one in @s. In a text another may follow without anything in between; elsewhere letters
 * that follow belong to the key. 1, 0 when there is none, -ENOKEY for a malformed one.
 */
static int next(const char *s, size_t len, bool is_text, struct found *ret)
{
	const char *canonical = find(s, len, CANONICAL, CANONICAL_LEN);
	const char *alias = find(s, len, ALIAS, ALIAS_LEN);
	const char *at = earlier(canonical, alias), *end = s + len, *p, *other;

	if (!at)
		return 0;
	ret->at = at;
	ret->key = p = at + (at == canonical ? (size_t)CANONICAL_LEN : (size_t)ALIAS_LEN);
	while (p < end && is_key_char(*p))
		p++;
	other = find(ret->key, (size_t)(end - ret->key), CANONICAL, CANONICAL_LEN);
	if (is_text && other && other < p)
		p = other;
	ret->end = p;
	ret->key_len = (size_t)(p - ret->key);
	if (at == alias) {
		if (at == s || at[-1] != '-')
			return -ENOKEY;
		while (ret->at > s && is_prefix_char(ret->at[-1]))
			ret->at--;
	}
	skip_revision(ret);
	return ret->key_len ? 1 : -ENOKEY;
}

static bool has_control(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			return true;
	return false;
}

static int secret_of(
	struct placeholder_source *src, const struct found *f, const char **ret, size_t *ret_len)
{
	int r = src->find(src->arg, f->key, f->key_len, ret, ret_len);

	if (r < 0)
		return r;
	/* What would end a header line, or a line anywhere, goes nowhere. */
	if (has_control(*ret, *ret_len))
		return -ENOKEY;
	src->n++;
	return 0;
}

/* --- places --- */

enum place { PLACE_PLAIN = 0, PLACE_BODY, PLACE_SEGMENT };

static bool fits(enum place place, const char *s, size_t len)
{
	if (place == PLACE_BODY)
		return !memchr(s, '"', len) && !memchr(s, '\\', len);
	if (place == PLACE_SEGMENT)
		return !memchr(s, '/', len) && !memchr(s, '\\', len) && !memchr(s, '?', len) &&
		       !memchr(s, '#', len) && !find(s, len, "..", 2);
	return true;
}

/* Every placeholder in @s. */
static int replace(struct placeholder_source *src, const char *s, size_t len, enum place place,
	struct buf *out)
{
	struct found f;
	int r = next(s, len, place == PLACE_BODY, &f);

	while (r > 0) {
		const char *secret = NULL;
		size_t n = 0;

		r = buf_append(out, s, (size_t)(f.at - s));
		if (r == 0)
			r = secret_of(src, &f, &secret, &n);
		if (r == 0 && !fits(place, secret, n))
			r = -ENOKEY;
		if (r == 0 && place == PLACE_SEGMENT)
			r = encode(out, secret, n, "!$&'()*+,=:@");
		else if (r == 0)
			r = buf_append(out, secret, n);
		if (r < 0)
			return r;
		len -= (size_t)(f.end - s);
		s = f.end;
		r = next(s, len, place == PLACE_BODY, &f);
	}
	return r < 0 ? r : buf_append(out, s, len);
}

/* All of @s is one placeholder: 1 with the secret appended, 0 when it is not, -errno. */
static int whole(struct placeholder_source *src, const char *s, size_t len, struct buf *out)
{
	const char *secret;
	struct found f;
	size_t n;
	int r = next(s, len, false, &f);

	if (r <= 0 || f.at != s || f.end != s + len)
		return r < 0 ? r : 0;
	r = secret_of(src, &f, &secret, &n);
	if (r == 0)
		r = buf_append(out, secret, n);
	return r < 0 ? r : 1;
}

/* --- Basic --- */

static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* 0, or -EBADMSG for what is no base64. */
static int base64_decode(struct buf *out, const char *s, size_t len)
{
	uint32_t bits = 0;
	int n = 0, r = 0;

	while (len && s[len - 1] == '=')
		len--;
	for (size_t i = 0; i < len && r == 0; i++) {
		const char *p = s[i] ? strchr(base64, s[i]) : NULL;

		if (!p)
			return -EBADMSG;
		bits = bits << 6 | (uint32_t)(p - base64);
		n += 6;
		if (n >= 8) {
			n -= 8;
			r = buf_putc(out, (char)(bits >> n));
		}
	}
	return r;
}

static int base64_encode(struct buf *out, const char *s, size_t len)
{
	int r = 0;

	for (size_t i = 0; i < len && r == 0; i += 3) {
		size_t n = len - i < 3 ? len - i : 3;
		uint32_t bits = 0;
		char four[4];

		for (size_t k = 0; k < 3; k++)
			bits = bits << 8 | (k < n ? (unsigned char)s[i + k] : 0u);
		for (size_t k = 0; k < 4; k++)
			four[k] = k <= n ? base64[bits >> (18 - 6 * k) & 63] : '=';
		r = buf_append(out, four, 4);
	}
	return r;
}

/* The credentials of Basic: 1 when there was something to replace, 0, -errno. */
static int basic(struct placeholder_source *src, const char *s, size_t len, struct buf *out)
{
	struct buf plain, filled;
	int r;

	buf_init(&plain, DECODED_MAX);
	buf_init(&filled, DECODED_MAX);
	r = base64_decode(&plain, s, len);
	if (r == 0 && plain.len && placeholder_is_in(buf_head(&plain), plain.len)) {
		r = replace(src, buf_head(&plain), plain.len, PLACE_PLAIN, &filled);
		if (r == 0)
			r = buf_puts(out, "Basic ");
		if (r == 0)
			r = base64_encode(out, buf_head(&filled), filled.len);
		r = r < 0 ? r : 1;
	} else if (r == -EBADMSG) {
		r = 0;
	}
	placeholder_wipe(&filled);
	buf_done(&plain);
	return r;
}

/* --- header fields --- */

static size_t token_len(const char *s, size_t len)
{
	size_t n = 0;

	while (n < len && s[n] != ' ' && s[n] != '\t')
		n++;
	return n;
}

static bool is_scheme(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!is_prefix_char(s[i]))
			return false;
	return len > 0;
}

/* "Scheme placeholder": 1 when it was that, 0, -errno. */
static int after_scheme(
	struct placeholder_source *src, const char *value, size_t len, struct buf *out)
{
	size_t scheme = token_len(value, len), at = scheme, mark = out->len;
	int r;

	while (at < len && (value[at] == ' ' || value[at] == '\t'))
		at++;
	if (!is_scheme(value, scheme) || at == len || token_len(value + at, len - at) != len - at)
		return 0;
	if (scheme == 5 && strncasecmp(value, "Basic", 5) == 0) {
		r = basic(src, value + at, len - at, out);
		if (r != 0)
			return r;
	}
	r = buf_append(out, value, scheme);
	if (r == 0)
		r = buf_putc(out, ' ');
	if (r == 0)
		r = whole(src, value + at, len - at, out);
	if (r == 0)
		buf_truncate(out, mark);
	return r;
}

int placeholder_value(
	struct placeholder_source *src, const char *value, size_t len, struct buf *out)
{
	int r = whole(src, value, len, out);

	if (r == 0)
		r = after_scheme(src, value, len, out);
	if (r != 0)
		return r < 0 ? r : 0;
	return placeholder_is_in(value, len) ? -ENOKEY : buf_append(out, value, len);
}

/* --- the target --- */

static int query_pair(struct placeholder_source *src, const char *s, size_t len, struct buf *out)
{
	const char *eq = memchr(s, '=', len);
	struct buf plain, filled;
	size_t name = eq ? (size_t)(eq - s) : len;
	int r;

	/* A name is no value: nothing is replaced there. */
	if (!eq)
		return buf_append(out, s, len);
	if (placeholder_is_in(s, name))
		return -ENOKEY;
	if (!placeholder_is_in(eq + 1, len - name - 1))
		return buf_append(out, s, len);
	buf_init(&plain, DECODED_MAX);
	buf_init(&filled, DECODED_MAX);
	r = decode(&plain, eq + 1, len - name - 1, true);
	if (r == 0)
		r = replace(src, buf_head(&plain), plain.len, PLACE_PLAIN, &filled);
	if (r == 0)
		r = buf_append(out, s, name + 1);
	if (r == 0)
		r = encode(out, buf_head(&filled), filled.len, "");
	placeholder_wipe(&filled);
	buf_done(&plain);
	return r;
}

int placeholder_form(struct placeholder_source *src, const char *text, size_t len, struct buf *out)
{
	int r = 0;

	while (r == 0 && len) {
		const char *amp = memchr(text, '&', len);
		size_t n = amp ? (size_t)(amp - text) : len;

		r = query_pair(src, text, n, out);
		if (r == 0 && amp)
			r = buf_putc(out, '&');
		n += amp ? 1u : 0u;
		text += n;
		len -= n;
	}
	return r;
}

/* The path is canonical: what was encoded and need not be, stands as it is. */
int placeholder_target(
	struct placeholder_source *src, const char *target, size_t len, struct buf *out)
{
	const char *q = memchr(target, '?', len);
	size_t path = q ? (size_t)(q - target) : len, mark = out->len;
	int r = replace(src, target, path, PLACE_SEGMENT, out);

	if (r == 0 && placeholder_is_in(buf_head(out) + mark, out->len - mark))
		r = -ENOKEY;
	if (r == 0 && q)
		r = buf_putc(out, '?');
	return r == 0 && q ? placeholder_form(src, q + 1, len - path - 1, out) : r;
}

/* --- the whole head --- */

/* METHOD SP TARGET SP VERSION */
static int request_line(struct placeholder_source *src, const char *s, size_t len, struct buf *out)
{
	size_t method = token_len(s, len), target;
	int r;

	if (method == len)
		return -ENOKEY;
	target = token_len(s + method + 1, len - method - 1);
	r = buf_append(out, s, method + 1);
	if (r == 0)
		r = placeholder_target(src, s + method + 1, target, out);
	return r == 0 ? buf_append(out, s + method + 1 + target, len - method - 1 - target) : r;
}

static int header_line(struct placeholder_source *src, const char *s, size_t len, struct buf *out)
{
	const char *colon = memchr(s, ':', len);
	size_t name = colon ? (size_t)(colon - s) : len, at = name + 1;
	int r;

	if (!colon || placeholder_is_in(s, name))
		return -ENOKEY;
	while (at < len && (s[at] == ' ' || s[at] == '\t'))
		at++;
	/* One that begins in the name ends in the value. */
	if (placeholder_is_in(s, len) && !placeholder_is_in(s + at, len - at))
		return -ENOKEY;
	r = buf_append(out, s, name);
	if (r == 0)
		r = buf_puts(out, ": ");
	return r == 0 ? placeholder_value(src, s + at, len - at, out) : r;
}

int placeholder_head(struct placeholder_source *src, const char *head, size_t len, struct buf *out)
{
	bool is_first = true;
	int r = 0;

	while (r == 0 && len) {
		const char *end = find(head, len, "\r\n", 2);
		size_t n = end ? (size_t)(end - head) : len;

		if (n)
			r = is_first ? request_line(src, head, n, out)
				     : header_line(src, head, n, out);
		if (r == 0 && end)
			r = buf_append(out, "\r\n", 2);
		is_first = false;
		n += end ? 2u : 0u;
		head += n;
		len -= n;
	}
	return r;
}

int placeholder_text(struct placeholder_source *src, const char *text, size_t len, struct buf *out)
{
	return replace(src, text, len, PLACE_BODY, out);
}
