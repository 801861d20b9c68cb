#include "lib/url.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/types.h>

#include "lib/buf.h"
#include "lib/str.h"

enum {
	PCHAR = 1, /* may stand in a canonical path as it is */
	PLAIN = 2, /* needs no thought at all: neither ".", ";", "%" nor "/" */
	LABEL = 4, /* may stand in a host label */
	UPPER = 8,
	ENCODED_SLASH = 0x01, /* stands for %2F while decoding; a raw 0x01 was refused before */
	LABEL_MAX = 63,
};

#define P PCHAR
#define Q (PCHAR | PLAIN)
#define L (PCHAR | PLAIN | LABEL)
#define U (PCHAR | PLAIN | LABEL | UPPER)

/* clang-format off */
static const uint8_t class_of[256] = {
	['!'] = Q, ['$'] = Q, ['&'] = Q, ['\''] = Q, ['('] = Q, [')'] = Q, ['*'] = Q, ['+'] = Q,
	[','] = Q, ['='] = Q, [':'] = Q, ['@'] = Q, ['~'] = Q, ['.'] = P, [';'] = P,
	['-'] = L, ['_'] = L, ['0'] = L, ['1'] = L, ['2'] = L, ['3'] = L, ['4'] = L, ['5'] = L,
	['6'] = L, ['7'] = L, ['8'] = L, ['9'] = L,
	['a'] = L, ['b'] = L, ['c'] = L, ['d'] = L, ['e'] = L, ['f'] = L, ['g'] = L, ['h'] = L,
	['i'] = L, ['j'] = L, ['k'] = L, ['l'] = L, ['m'] = L, ['n'] = L, ['o'] = L, ['p'] = L,
	['q'] = L, ['r'] = L, ['s'] = L, ['t'] = L, ['u'] = L, ['v'] = L, ['w'] = L, ['x'] = L,
	['y'] = L, ['z'] = L,
	['A'] = U, ['B'] = U, ['C'] = U, ['D'] = U, ['E'] = U, ['F'] = U, ['G'] = U, ['H'] = U,
	['I'] = U, ['J'] = U, ['K'] = U, ['L'] = U, ['M'] = U, ['N'] = U, ['O'] = U, ['P'] = U,
	['Q'] = U, ['R'] = U, ['S'] = U, ['T'] = U, ['U'] = U, ['V'] = U, ['W'] = U, ['X'] = U,
	['Y'] = U, ['Z'] = U,
};
/* clang-format on */

#undef P
#undef Q
#undef L
#undef U

static int refuse(const char **ret_why, const char *why)
{
	*ret_why = why;
	return -EBADMSG;
}

/* The byte that "%XX" at @s means, or -1. */
static int percent_byte(const char *s, size_t left)
{
	int hi, lo;

	if (left < 3)
		return -1;
	hi = str_hex_digit(s[1]);
	lo = str_hex_digit(s[2]);
	return hi < 0 || lo < 0 ? -1 : hi << 4 | lo;
}

static int check_bytes(const char *target, size_t len, const char **ret_why)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)target[i];

		if (c < 0x20 || c == 0x7f)
			return refuse(ret_why, "request target contains a control byte");
		if (c >= 0x80)
			return refuse(ret_why, "request target contains raw non-ASCII bytes");
		if (c == '#')
			return refuse(ret_why, "request target contains a fragment");
	}
	return 0;
}

static bool is_scheme(const char *s, size_t len)
{
	if (!len || (s[0] | 0x20) < 'a' || (s[0] | 0x20) > 'z')
		return false;
	for (size_t i = 1; i < len; i++) {
		char c = s[i];

		if (!(class_of[(unsigned char)c] & LABEL) && c != '+' && c != '.')
			return false;
	}
	return true;
}

static bool is_word(const char *s, size_t len, const char *word)
{
	size_t i;

	for (i = 0; i < len && word[i]; i++) {
		if ((s[i] | 0x20) != word[i])
			return false;
	}
	return i == len && !word[i];
}

int url_absolute_split(
	const char *target, size_t len, struct url_absolute *ret, const char **ret_why)
{
	const char *colon = len && target[0] != '/' ? memchr(target, ':', len) : NULL;
	size_t scheme = colon ? (size_t)(colon - target) : 0, end;

	if (!colon || len - scheme < 3 || colon[1] != '/' || colon[2] != '/' ||
		!is_scheme(target, scheme))
		return 1;
	if (!is_word(target, scheme, "http") && !is_word(target, scheme, "https"))
		return refuse(ret_why, "request target has an unsupported scheme");
	end = scheme + 3;
	while (end < len && target[end] != '/' && target[end] != '?' && target[end] != '#')
		end++;
	*ret = (struct url_absolute){
		.is_https = scheme == 5,
		.authority = colon + 3,
		.authority_len = end - (scheme + 3),
		.rest = target + end,
		.rest_len = len - end,
	};
	return 0;
}

/* Drops scheme and authority of an absolute-form target: it is moved past them. */
static int strip_authority(const char **target, size_t *len, const char **ret_why)
{
	struct url_authority authority;
	struct url_absolute abs;
	int r = url_absolute_split(*target, *len, &abs, ret_why);

	if (r != 0)
		return r < 0 ? r : 0;
	r = url_authority_parse(abs.authority, abs.authority_len, &authority, ret_why);
	if (r < 0)
		return r;
	*target = abs.rest;
	*len = abs.rest_len;
	return 0;
}

/* Most paths are canonical as they come; this sees it without decoding. */
static bool is_canonical(const char *path, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)path[i];

		if (class_of[c] & PLAIN)
			continue;
		if (c == '.' && i > 0 && path[i - 1] != '/')
			continue;
		if (c != '/' || (i > 0 && path[i - 1] == '/'))
			return false;
	}
	return true;
}

/* Percent-decodes into @out (as long as the input at most): the length or -EBADMSG. */
static ssize_t decode_path(
	char *out, const char *path, size_t len, bool encoded_slash, const char **ret_why)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		int c = (unsigned char)path[i];

		if (c == '%') {
			c = percent_byte(path + i, len - i);
			if (c < 0)
				return refuse(ret_why,
					"request target contains an invalid percent-encoding");
			if (c < 0x20 || c == 0x7f)
				return refuse(
					ret_why, "request target contains an encoded control byte");
			if (c == '/' && !encoded_slash)
				return refuse(ret_why, "request target contains an encoded slash "
						       "(%2F), which this endpoint does not allow");
			if (c == '/')
				c = ENCODED_SLASH;
			i += 2;
		}
		out[n++] = (char)c;
	}
	return (ssize_t)n;
}

/* Whether a part of the segment between encoded slashes is "." or "..". */
static bool hides_dots(const char *seg, size_t len)
{
	size_t start = 0;

	for (size_t i = 0; i <= len; i++) {
		if (i < len && seg[i] != ENCODED_SLASH)
			continue;
		if ((i - start == 1 && seg[start] == '.') ||
			(i - start == 2 && seg[start] == '.' && seg[start + 1] == '.'))
			return true;
		start = i + 1;
	}
	return false;
}

static int put_byte(struct url_target *t, char c, const char **ret_why)
{
	if (t->path_len >= URL_PATH_MAX)
		return refuse(ret_why, "request target is too long");
	t->path[t->path_len++] = c;
	return 0;
}

static int put_encoded(struct url_target *t, unsigned char c, const char **ret_why)
{
	static const char digits[] = "0123456789ABCDEF";
	int r = put_byte(t, '%', ret_why);

	if (r == 0)
		r = put_byte(t, digits[c >> 4], ret_why);
	if (r == 0)
		r = put_byte(t, digits[c & 15], ret_why);
	return r;
}

static int put_segment(struct url_target *t, const char *seg, size_t len, const char **ret_why)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = seg[i] == ENCODED_SLASH ? '/' : (unsigned char)seg[i];
		int r;

		if (class_of[c] & PCHAR)
			r = put_byte(t, (char)c, ret_why);
		else
			r = put_encoded(t, c, ret_why);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The path so far ends with "/"; takes its last segment off again. */
static int drop_segment(struct url_target *t, const char **ret_why)
{
	if (t->path_len < 2)
		return refuse(ret_why, "request target climbs above the root");
	do
		t->path_len--;
	while (t->path[t->path_len - 1] != '/');
	return 0;
}

/* The path so far ends with "/", and does so again afterwards unless this is the last segment. */
static int resolve_segment(
	struct url_target *t, const char *seg, size_t len, bool is_last, const char **ret_why)
{
	int r;

	if (len == 2 && seg[0] == '.' && seg[1] == '.')
		return drop_segment(t, ret_why);
	if (!len || (len == 1 && seg[0] == '.'))
		return 0;
	if (hides_dots(seg, len))
		return refuse(
			ret_why, "request target hides a dot segment behind an encoded slash");
	r = put_segment(t, seg, len, ret_why);
	return r < 0 || is_last ? r : put_byte(t, '/', ret_why);
}

static int resolve(
	struct url_target *t, const char *path, size_t len, bool keep_params, const char **ret_why)
{
	int r = 0;

	t->path[0] = '/';
	t->path_len = 1;
	for (size_t start = 1, end; start <= len && r == 0; start = end + 1) {
		const char *slash = memchr(path + start, '/', len - start);
		const char *cut;

		end = slash ? (size_t)(slash - path) : len;
		cut = keep_params ? NULL : memchr(path + start, ';', end - start);
		r = resolve_segment(t, path + start,
			cut ? (size_t)(cut - path) - start : end - start, !slash, ret_why);
	}
	return r;
}

static int canonical_path(struct url_target *t, const char *path, size_t len, unsigned int flags,
	const char **ret_why)
{
	char decoded[URL_PATH_MAX];
	ssize_t n;
	int r;

	n = decode_path(decoded, path, len, flags & URL_ENCODED_SLASH, ret_why);
	if (n < 0)
		return (int)n;
	r = resolve(t, decoded, (size_t)n, flags & URL_KEEP_PARAMS, ret_why);
	if (r < 0)
		return r;
	t->is_rewritten = t->path_len != len || memcmp(t->path, path, len) != 0;
	return 0;
}

int url_canonicalize(const char *target, size_t len, unsigned int flags, struct url_target *ret,
	const char **ret_why)
{
	const char *mark;
	size_t n;
	int r = check_bytes(target, len, ret_why);

	if (r < 0)
		return r;
	r = strip_authority(&target, &len, ret_why);
	if (r < 0)
		return r;
	mark = memchr(target, '?', len);
	n = mark ? (size_t)(mark - target) : len;
	ret->query = mark ? mark + 1 : NULL;
	ret->query_len = mark ? len - n - 1 : 0;
	if (!n) {
		target = "/";
		n = 1;
	}
	if (target[0] != '/')
		return refuse(ret_why, "request target is not a path");
	if (n > URL_PATH_MAX)
		return refuse(ret_why, "request target is too long");
	ret->is_rewritten = false;
	if (is_canonical(target, n)) {
		memcpy(ret->path, target, n);
		ret->path_len = n;
	} else {
		r = canonical_path(ret, target, n, flags, ret_why);
		if (r < 0)
			return r;
	}
	ret->path[ret->path_len] = '\0';
	return 0;
}

/*
 * Decodes one name or value to @out, NUL-terminated; the place after the NUL, or NULL. C0 occurs
 * in no UTF-8 text, so that the stand-in for NUL is always ours.
 */
static char *decode_component(char *out, const char *s, size_t len, const char **ret_why)
{
	char *p = out;

	for (size_t i = 0; i < len; i++) {
		int c = (unsigned char)s[i];

		if (c == '%') {
			c = percent_byte(s + i, len - i);
			i += 2;
		} else if (c == '+') {
			c = ' ';
		}
		if (c < 0 || c == 0xc0) {
			*ret_why = c < 0 ? "query contains an invalid percent-encoding"
					 : "query is not valid UTF-8";
			return NULL;
		}
		if (!c)
			*p++ = '\xc0';
		*p++ = c ? (char)c : '\x80';
	}
	*p = '\0';
	return p + 1;
}

/* Valid UTF-8, with C0 80 for NUL. */
static bool is_text(const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *)s;

	while (len) {
		uint32_t cp;
		size_t n = *p < 0x80 ? 1 : *p == 0xc0 ? 2 : str_utf8_decode(p, len, &cp);

		if (!n)
			return false;
		p += n;
		len -= n;
	}
	return true;
}

static int add_pair(
	struct url_query *q, char **at, const char *pair, size_t len, const char **ret_why)
{
	const char *equals = memchr(pair, '=', len);
	size_t n = equals ? (size_t)(equals - pair) : len;
	char *name = *at, *value, *end;

	if (q->n == URL_PARAMS_MAX)
		return refuse(ret_why, "query has too many parameters");
	value = decode_component(name, pair, n, ret_why);
	if (!value)
		return -EBADMSG;
	end = decode_component(value, equals ? equals + 1 : "", equals ? len - n - 1 : 0, ret_why);
	if (!end)
		return -EBADMSG;
	if (!is_text(name, (size_t)(value - 1 - name)) ||
		!is_text(value, (size_t)(end - 1 - value)))
		return refuse(ret_why, "query is not valid UTF-8");
	q->params[q->n++] = (struct query_param){ .name = name, .value = value };
	*at = end;
	return 0;
}

int url_query_parse(struct url_query *q, const char *query, size_t len, const char **ret_why)
{
	char *at = q->text;

	q->n = 0;
	if (len > URL_QUERY_MAX)
		return refuse(ret_why, "query is too long");
	for (size_t start = 0; start < len;) {
		const char *amp = memchr(query + start, '&', len - start);
		size_t end = amp ? (size_t)(amp - query) : len;
		int r = end > start ? add_pair(q, &at, query + start, end - start, ret_why) : 0;

		if (r < 0)
			return r;
		start = end + 1;
	}
	return 0;
}

/* A byte of a parameter's name as PHP has it, and ASP.NET. */
static char folded(char c, bool any_case)
{
	if (c == ' ' || c == '.')
		return '_';
	return any_case && class_of[(unsigned char)c] & UPPER ? (char)(c | 0x20) : c;
}

bool url_param_may_be(const char *name, const char *known, bool any_case)
{
	name += strspn(name, " ");
	for (; *known; name++, known++)
		if (folded(*name, any_case) != folded(*known, any_case))
			return false;
	return !*name || *name == '[' || strncmp(name, "\xc0\x80", 2) == 0;
}

int url_plain(struct buf *out, const char *value)
{
	for (const char *nul; (nul = strstr(value, "\xc0\x80")); value = nul + 2) {
		int r = buf_append(out, value, (size_t)(nul - value));

		if (r == 0)
			r = buf_append(out, "", 1);
		if (r < 0)
			return r;
	}
	return buf_puts(out, value);
}

/* An IPv6 address between brackets, or the same without them. */
static int parse_ipv6(const char *text, size_t len, struct url_authority *ret, const char **ret_why)
{
	char copy[INET6_ADDRSTRLEN];
	struct in6_addr a;

	if (len >= sizeof(copy) || memchr(text, '\0', len))
		return refuse(ret_why, "host is not a valid IPv6 address");
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (inet_pton(AF_INET6, copy, &a) != 1)
		return refuse(ret_why, "host is not a valid IPv6 address");
	ret->is_ipv4 = IN6_IS_ADDR_V4MAPPED(&a);
	ret->is_ipv6 = !ret->is_ipv4;
	if (ret->is_ipv4)
		(void)inet_ntop(AF_INET, &a.s6_addr[12], ret->host, sizeof(ret->host));
	else
		(void)inet_ntop(AF_INET6, &a, ret->host, sizeof(ret->host));
	return 0;
}

static bool is_digits(const char *s)
{
	return s[strspn(s, "0123456789")] == '\0';
}

/*
 * A name whose last label is a number is an address to inet_aton() and to browsers (127.1,
 * 0x7f.1, 2130706433): only the dotted quad means the same to everybody.
 */
static int check_number(struct url_authority *ret, const char **ret_why)
{
	const char *dot = strrchr(ret->host, '.');
	const char *last = dot ? dot + 1 : ret->host;
	struct in_addr a;

	if (!is_digits(last) && !(last[0] == '0' && last[1] == 'x'))
		return 0;
	if (inet_pton(AF_INET, ret->host, &a) != 1)
		return refuse(
			ret_why, "host is a number that is not an IPv4 address in dotted form");
	ret->is_ipv4 = true;
	return 0;
}

static int parse_name(const char *text, size_t len, struct url_authority *ret, const char **ret_why)
{
	size_t label = 0;

	if (len && text[len - 1] == '.')
		len--;
	if (!len)
		return refuse(ret_why, "host is empty");
	if (len > URL_HOST_MAX)
		return refuse(ret_why, "host is too long");
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '.' ? !label : label >= LABEL_MAX)
			return refuse(ret_why, "host has an empty or overlong label");
		if (c != '.' && !(class_of[c] & LABEL))
			return refuse(ret_why, "host contains a character that no host name has");
		label = c == '.' ? 0 : label + 1;
		ret->host[i] = class_of[c] & UPPER ? (char)(c | 0x20) : (char)c;
	}
	if (!label)
		return refuse(ret_why, "host has an empty or overlong label");
	ret->host[len] = '\0';
	return check_number(ret, ret_why);
}

int url_host_parse(const char *text, size_t len, struct url_authority *ret, const char **ret_why)
{
	struct url_authority a = { .port = 0 };
	int r;

	if (len >= 2 && text[0] == '[' && text[len - 1] == ']')
		r = parse_ipv6(text + 1, len - 2, &a, ret_why);
	else if (memchr(text, ':', len))
		r = parse_ipv6(text, len, &a, ret_why);
	else
		r = parse_name(text, len, &a, ret_why);
	if (r == 0)
		*ret = a;
	return r;
}

static int parse_port(const char *text, size_t len, uint16_t *ret, const char **ret_why)
{
	char digits[6];
	uint64_t v;

	if (!len || len >= sizeof(digits))
		return refuse(ret_why, "port is not a number from 1 to 65535");
	memcpy(digits, text, len);
	digits[len] = '\0';
	if (memchr(text, '\0', len) || str_to_u64(digits, UINT16_MAX, &v) < 0 || !v)
		return refuse(ret_why, "port is not a number from 1 to 65535");
	*ret = (uint16_t)v;
	return 0;
}

int url_authority_parse(
	const char *text, size_t len, struct url_authority *ret, const char **ret_why)
{
	const char *end = len && text[0] == '[' ? memchr(text, ']', len) : NULL;
	const char *from = end ? end : text;
	const char *colon = memchr(from, ':', len - (size_t)(from - text));
	size_t host_len = colon ? (size_t)(colon - text) : len;
	struct url_authority a;
	uint16_t port = 0;
	int r;

	if (len && text[0] == '[' && (!end || host_len != (size_t)(end - text) + 1))
		return refuse(ret_why, "host is not a valid IPv6 address");
	r = url_host_parse(text, host_len, &a, ret_why);
	if (r == 0 && colon)
		r = parse_port(colon + 1, len - host_len - 1, &port, ret_why);
	if (r < 0)
		return r;
	a.port = port;
	*ret = a;
	return 0;
}
