#include "lib/http1_fields.h"

#include <errno.h>
#include <string.h>

#include "lib/str.h"

static int refuse(const char **ret_why, const char *why)
{
	*ret_why = why;
	return -EBADMSG;
}

/* clang-format off */
static const bool is_token_char[256] = {
	['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1, ['+'] = 1,
	['-'] = 1, ['.'] = 1, ['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1, ['~'] = 1,
	['0'] = 1, ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1, ['7'] = 1,
	['8'] = 1, ['9'] = 1,
	['A'] = 1, ['B'] = 1, ['C'] = 1, ['D'] = 1, ['E'] = 1, ['F'] = 1, ['G'] = 1, ['H'] = 1,
	['I'] = 1, ['J'] = 1, ['K'] = 1, ['L'] = 1, ['M'] = 1, ['N'] = 1, ['O'] = 1, ['P'] = 1,
	['Q'] = 1, ['R'] = 1, ['S'] = 1, ['T'] = 1, ['U'] = 1, ['V'] = 1, ['W'] = 1, ['X'] = 1,
	['Y'] = 1, ['Z'] = 1,
	['a'] = 1, ['b'] = 1, ['c'] = 1, ['d'] = 1, ['e'] = 1, ['f'] = 1, ['g'] = 1, ['h'] = 1,
	['i'] = 1, ['j'] = 1, ['k'] = 1, ['l'] = 1, ['m'] = 1, ['n'] = 1, ['o'] = 1, ['p'] = 1,
	['q'] = 1, ['r'] = 1, ['s'] = 1, ['t'] = 1, ['u'] = 1, ['v'] = 1, ['w'] = 1, ['x'] = 1,
	['y'] = 1, ['z'] = 1,
};

struct known {
	const char *name;
	enum http1_name id;
};

/* By length, so that most names are dismissed without a comparison. */
#define KNOWN(...) (const struct known[]){ __VA_ARGS__, { NULL, HTTP1_OTHER } }

static const struct known *const known_of_len[] = {
	[2] = KNOWN({ "te", HTTP1_TE }),
	[4] = KNOWN({ "host", HTTP1_HOST }),
	[6] = KNOWN({ "accept", HTTP1_ACCEPT }, { "expect", HTTP1_EXPECT }),
	[7] = KNOWN({ "trailer", HTTP1_TRAILER }, { "upgrade", HTTP1_UPGRADE }),
	[10] = KNOWN({ "connection", HTTP1_CONNECTION }, { "keep-alive", HTTP1_HOP }),
	[12] = KNOWN({ "content-type", HTTP1_CONTENT_TYPE }),
	[14] = KNOWN({ "content-length", HTTP1_CONTENT_LENGTH }, { "http2-settings", HTTP1_HOP }),
	[16] = KNOWN({ "content-encoding", HTTP1_CONTENT_ENCODING },
		{ "proxy-connection", HTTP1_HOP }),
	[17] = KNOWN({ "transfer-encoding", HTTP1_TRANSFER_ENCODING },
		{ "sec-websocket-key", HTTP1_WS_KEY }),
	[18] = KNOWN({ "proxy-authenticate", HTTP1_HOP }),
	[19] = KNOWN({ "proxy-authorization", HTTP1_HOP }),
	[20] = KNOWN({ "sec-websocket-accept", HTTP1_WS_ACCEPT }),
	[21] = KNOWN({ "sec-websocket-version", HTTP1_WS_VERSION }),
	[22] = KNOWN({ "sec-websocket-protocol", HTTP1_WS_PROTOCOL }),
	[24] = KNOWN({ "sec-websocket-extensions", HTTP1_WS_EXTENSIONS }),
	[25] = KNOWN({ "proxy-authentication-info", HTTP1_HOP }),
};
/* clang-format on */

static const bool is_hop[HTTP1_NAMES] = {
	[HTTP1_CONNECTION] = true,
	[HTTP1_CONTENT_LENGTH] = true,
	[HTTP1_EXPECT] = true,
	[HTTP1_HOP] = true,
	[HTTP1_HOST] = true,
	[HTTP1_METHOD_OVERRIDE] = true,
	[HTTP1_TE] = true,
	[HTTP1_TRANSFER_ENCODING] = true,
	[HTTP1_UPGRADE] = true,
};

/*
 * Names that ask for another method or another resource than the request line does. CGI, WSGI and Rack
 * make one variable of "-" and "_", so that X_HTTP_METHOD_OVERRIDE is the same name to what runs there.
 */
static const struct known overrides[] = {
	{ "x-http-method", HTTP1_METHOD_OVERRIDE },
	{ "x-method-override", HTTP1_METHOD_OVERRIDE },
	{ "x-http-method-override", HTTP1_METHOD_OVERRIDE },
	{ "x-original-url", HTTP1_TARGET_OVERRIDE },
	{ "x-rewrite-url", HTTP1_TARGET_OVERRIDE },
};

/* @lower holds letters in lower case; nothing but a letter turns into one by the bit. */
bool http1_equals(const char *s, size_t len, const char *lower)
{
	for (size_t i = 0; i < len; i++) {
		char c = s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] | 0x20) : s[i];

		if (!lower[i] || c != lower[i])
			return false;
	}
	return lower[len] == '\0';
}

static bool is_override(const char *name, size_t len, const char *lower)
{
	for (size_t i = 0; i < len; i++) {
		char c = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] | 0x20) : name[i];

		if (!lower[i] || (c == '_' ? '-' : c) != lower[i])
			return false;
	}
	return lower[len] == '\0';
}

static enum http1_name override_lookup(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof(overrides) / sizeof(overrides[0]); i++) {
		if (is_override(name, len, overrides[i].name))
			return overrides[i].id;
	}
	return HTTP1_OTHER;
}

enum http1_name http1_name_lookup(const char *name, size_t len)
{
	if (len > 2 && (name[0] | 0x20) == 'x' && (name[1] == '-' || name[1] == '_'))
		return override_lookup(name, len);
	if (len >= sizeof(known_of_len) / sizeof(known_of_len[0]) || !known_of_len[len])
		return HTTP1_OTHER;
	for (const struct known *k = known_of_len[len]; k->name; k++) {
		if (http1_equals(name, len, k->name))
			return k->id;
	}
	return HTTP1_OTHER;
}

bool http1_is_token(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!is_token_char[(unsigned char)s[i]])
			return false;
	}
	return len > 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Cuts blanks off both ends. */
static void trim(const char **s, size_t *len)
{
	while (*len && is_blank((*s)[0])) {
		(*s)++;
		(*len)--;
	}
	while (*len && is_blank((*s)[*len - 1]))
		(*len)--;
}

/* The next element of a comma-separated list, trimmed; false at the end. */
static bool next_element(const char **list, size_t *left, const char **ret, size_t *ret_len)
{
	const char *comma;

	if (!*list)
		return false;
	comma = memchr(*list, ',', *left);
	*ret = *list;
	*ret_len = comma ? (size_t)(comma - *list) : *left;
	*left = comma ? *left - *ret_len - 1 : 0;
	*list = comma ? comma + 1 : NULL;
	trim(ret, ret_len);
	return true;
}

bool http1_has_token(const char *value, size_t len, const char *token)
{
	const char *e;
	size_t n;

	while (next_element(&value, &len, &e, &n)) {
		if (http1_equals(e, n, token))
			return true;
	}
	return false;
}

const struct http1_header *http1_find(const struct http1_header *list, size_t n, enum http1_name id)
{
	for (size_t i = 0; i < n; i++) {
		if (list[i].id == id)
			return &list[i];
	}
	return NULL;
}

static bool lists_media_type(const char *value, size_t len, const char *type)
{
	const char *e;
	size_t n;

	while (next_element(&value, &len, &e, &n)) {
		const char *semicolon = memchr(e, ';', n);

		if (semicolon)
			n = (size_t)(semicolon - e);
		trim(&e, &n);
		if (http1_equals(e, n, type))
			return true;
	}
	return false;
}

bool http1_has_media_type(
	const struct http1_header *list, size_t n, enum http1_name id, const char *type)
{
	for (size_t i = 0; i < n; i++) {
		if (list[i].id == id && lists_media_type(list[i].value, list[i].value_len, type))
			return true;
	}
	return false;
}

int http1_minor(const char *s, size_t len)
{
	if (len != 8 || memcmp(s, "HTTP/1.", 7) != 0 || (s[7] != '0' && s[7] != '1'))
		return -1;
	return s[7] - '0';
}

static int on_host(struct http1_fields *f, struct http1_scan *scan, const struct http1_header *h,
	const char **ret_why)
{
	(void)f;
	scan->host = h;
	if (++scan->n_host > 1)
		return refuse(ret_why, "more than one Host header");
	return 0;
}

static int on_length(struct http1_fields *f, struct http1_scan *scan, const struct http1_header *h,
	const char **ret_why)
{
	char digits[20];

	if (++scan->n_length > 1)
		return refuse(ret_why, "more than one Content-Length");
	if (!h->value_len || h->value_len >= sizeof(digits))
		return refuse(ret_why, "invalid Content-Length");
	memcpy(digits, h->value, h->value_len);
	digits[h->value_len] = '\0';
	if (memchr(digits, '\0', h->value_len) ||
		str_to_u64(digits, INT64_MAX, &f->content_length) < 0)
		return refuse(ret_why, "invalid Content-Length");
	f->has_length = true;
	return 0;
}

static int on_coding(struct http1_fields *f, struct http1_scan *scan, const struct http1_header *h,
	const char **ret_why)
{
	(void)f;
	if (scan->has_coding || !http1_equals(h->value, h->value_len, "chunked"))
		return refuse(ret_why, "unsupported Transfer-Encoding");
	scan->has_coding = true;
	return 0;
}

static int nominate(struct http1_fields *f, struct http1_scan *scan, const char *name, size_t len,
	const char **ret_why)
{
	enum http1_name id = http1_name_lookup(name, len);

	if (id == HTTP1_HOST || id == HTTP1_CONTENT_LENGTH || id == HTTP1_TRANSFER_ENCODING)
		return refuse(ret_why, "Connection names a framing or routing header");
	if (http1_equals(name, len, "close"))
		f->says_close = true;
	else if (http1_equals(name, len, "keep-alive"))
		f->says_keep_alive = true;
	else if (http1_equals(name, len, "upgrade"))
		f->says_upgrade = true;
	else if (scan->n_nominated == HTTP1_NOMINATED_MAX)
		return refuse(ret_why, "Connection has too many options");
	else {
		scan->nominated[scan->n_nominated].name = name;
		scan->nominated[scan->n_nominated++].len = len;
	}
	return 0;
}

static int on_connection(struct http1_fields *f, struct http1_scan *scan,
	const struct http1_header *h, const char **ret_why)
{
	const char *list = h->value, *e;
	size_t left = h->value_len, n;

	while (next_element(&list, &left, &e, &n)) {
		int r;

		if (!http1_is_token(e, n))
			return refuse(ret_why, "Connection has an invalid option token");
		r = nominate(f, scan, e, n, ret_why);
		if (r < 0)
			return r;
	}
	return 0;
}

static int on_override(struct http1_fields *f, struct http1_scan *scan,
	const struct http1_header *h, const char **ret_why)
{
	(void)f;
	scan->override = h;
	if (scan->is_request && ++scan->n_override > 1)
		return refuse(ret_why, "more than one method override");
	return 0;
}

static int on_target_override(struct http1_fields *f, struct http1_scan *scan,
	const struct http1_header *h, const char **ret_why)
{
	(void)f;
	(void)h;
	return scan->is_request ? refuse(ret_why, "a header asks for another resource than the target") : 0;
}

static int on_upgrade(struct http1_fields *f, struct http1_scan *scan, const struct http1_header *h,
	const char **ret_why)
{
	(void)f;
	(void)ret_why;
	if (http1_has_token(h->value, h->value_len, "websocket"))
		scan->has_websocket = true;
	if (http1_has_token(h->value, h->value_len, "h2c"))
		scan->has_h2c = true;
	return 0;
}

static int on_websocket(struct http1_fields *f, struct http1_scan *scan,
	const struct http1_header *h, const char **ret_why)
{
	(void)f;
	(void)h;
	(void)ret_why;
	scan->has_websocket = true;
	return 0;
}

static int on_expect(struct http1_fields *f, struct http1_scan *scan, const struct http1_header *h,
	const char **ret_why)
{
	(void)f;
	if (scan->is_request && !http1_equals(h->value, h->value_len, "100-continue"))
		return refuse(ret_why, "unsupported expectation");
	scan->expects_continue = true;
	return 0;
}

static int (*const on_name[HTTP1_NAMES])(
	struct http1_fields *, struct http1_scan *, const struct http1_header *, const char **) = {
	[HTTP1_CONNECTION] = on_connection,
	[HTTP1_CONTENT_LENGTH] = on_length,
	[HTTP1_EXPECT] = on_expect,
	[HTTP1_HOST] = on_host,
	[HTTP1_METHOD_OVERRIDE] = on_override,
	[HTTP1_TARGET_OVERRIDE] = on_target_override,
	[HTTP1_TRANSFER_ENCODING] = on_coding,
	[HTTP1_UPGRADE] = on_upgrade,
	[HTTP1_WS_KEY] = on_websocket,
	[HTTP1_WS_VERSION] = on_websocket,
};

/* Whether one of eight bytes is a control, DEL or beyond ASCII: the common case is none. */
static bool has_odd_byte(const char *s)
{
	const uint64_t ones = 0x0101010101010101, high = 0x8080808080808080;
	uint64_t w, del;

	memcpy(&w, s, sizeof(w));
	del = w ^ (ones * 0x7f);
	return ((w - ones * 0x20) | w | (del - ones)) & high;
}

static int check_value(const char *s, size_t len, bool is_request, const char **ret_why)
{
	bool is_ascii = true;
	size_t i = 0;

	while (i < len) {
		unsigned char c = (unsigned char)s[i];

		if (len - i >= 8 && !has_odd_byte(s + i)) {
			i += 8;
			continue;
		}
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return refuse(ret_why, "header value contains an invalid control byte");
		is_ascii = is_ascii && c < 0x80;
		i++;
	}
	if (!is_ascii && is_request && !str_is_utf8(s, len))
		return refuse(ret_why, "header value is not valid UTF-8");
	return 0;
}

/* CGI, WSGI and Rack make one variable of "-" and "_" (see overrides[]): what is known by one name has no other. */
static bool is_taken_for_known(const char *name, size_t len)
{
	char dashed[32];

	if (len >= sizeof(dashed) || !memchr(name, '_', len))
		return false;
	for (size_t i = 0; i < len; i++)
		dashed[i] = name[i] == '_' ? '-' : name[i];
	return http1_name_lookup(dashed, len) != HTTP1_OTHER;
}

void http1_fields_init(struct http1_fields *f)
{
	f->n = 0;
	f->framing = HTTP1_NO_BODY;
	f->content_length = 0;
	f->has_length = f->says_close = f->says_keep_alive = f->says_upgrade = false;
}

/* The name was found to be a token. */
static int add_field(struct http1_fields *f, struct http1_scan *scan, const char *name,
	size_t name_len, const char *value, size_t value_len, const char **ret_why)
{
	struct http1_header *h = &f->list[f->n];
	int r;

	if (f->n == HTTP1_HEADERS_MAX) {
		*ret_why = "too many header fields";
		return -EMSGSIZE;
	}
	trim(&value, &value_len);
	*h = (struct http1_header){
		.name = name,
		.name_len = (uint16_t)name_len,
		.value = value,
		.value_len = (uint16_t)value_len,
		.id = (uint8_t)http1_name_lookup(name, name_len),
	};
	h->is_hop = is_hop[h->id];
	if (h->id == HTTP1_OTHER && scan->is_request && is_taken_for_known(name, name_len))
		return refuse(ret_why, "header name with '_' is another header's to some servers");
	r = check_value(value, value_len, scan->is_request, ret_why);
	if (r == 0 && on_name[h->id])
		r = on_name[h->id](f, scan, h, ret_why);
	if (r == 0)
		f->n++;
	return r;
}

int http1_fields_add(struct http1_fields *f, struct http1_scan *scan, const char *name,
	size_t name_len, const char *value, size_t value_len, const char **ret_why)
{
	if (!http1_is_token(name, name_len))
		return refuse(ret_why, "header name is not a valid HTTP token");
	if (name_len > UINT16_MAX || value_len > UINT16_MAX) {
		*ret_why = "header field is too long";
		return -EMSGSIZE;
	}
	return add_field(f, scan, name, name_len, value, value_len, ret_why);
}

/* "name: value" without its CRLF. */
static int parse_line(struct http1_fields *f, struct http1_scan *scan, const char *line, size_t len,
	const char **ret_why)
{
	size_t n = 0;

	if (len > UINT16_MAX) {
		*ret_why = "header field is too long";
		return -EMSGSIZE;
	}
	if (len && is_blank(line[0]))
		return refuse(ret_why, "header continuation lines are not supported");
	while (n < len && is_token_char[(unsigned char)line[n]])
		n++;
	if (n == len)
		return refuse(ret_why, "header field is missing ':'");
	if (line[n] != ':' || !n)
		return refuse(ret_why, is_blank(line[n]) ? "header has a blank before ':'"
							 : "header name is not a valid HTTP token");
	return add_field(f, scan, line, n, line + n + 1, len - n - 1, ret_why);
}

void http1_fields_end(struct http1_fields *f, const struct http1_scan *scan)
{
	for (size_t i = 0; i < scan->n_nominated; i++) {
		for (size_t j = 0; j < f->n; j++) {
			struct http1_header *h = &f->list[j];

			if (h->name_len == scan->nominated[i].len &&
				strncasecmp(h->name, scan->nominated[i].name, h->name_len) == 0)
				h->is_hop = true;
		}
	}
}

int http1_fields_parse(struct http1_fields *f, struct http1_scan *scan, const char *lines,
	size_t len, const char **ret_why)
{
	f->n = 0;
	while (len) {
		const char *cr = memchr(lines, '\r', len);
		size_t n = cr ? (size_t)(cr - lines) : len;
		int r;

		if (len - n < 2 || cr[1] != '\n')
			return refuse(ret_why, "header line does not end in CRLF");
		r = parse_line(f, scan, lines, n, ret_why);
		if (r < 0)
			return r;
		lines += n + 2;
		len -= n + 2;
	}
	http1_fields_end(f, scan);
	return 0;
}

int http1_fields_check(const struct http1_fields *f, const struct http1_scan *scan,
	unsigned int minor, const char **ret_why)
{
	if (scan->has_coding && f->has_length)
		return refuse(ret_why, "both Transfer-Encoding and Content-Length");
	if (scan->has_coding && minor == 0)
		return refuse(ret_why, "Transfer-Encoding in HTTP/1.0");
	return 0;
}
