#include "lib/tlshello.h"

#include <string.h>

enum {
	RECORD_HEADER = 5,
	RECORD_MAX = 16384,
	TYPE_HANDSHAKE = 22,
	CLIENT_HELLO = 1,
	EXT_SERVER_NAME = 0,
	EXT_ALPN = 16,
	EXT_EARLY_DATA = 42,
	EXT_VERSIONS = 43,
	EXT_ECH = 0xfe0d,
	SSL_3_0 = 0x0300,
	TLS_1_2 = 0x0303,
	TLS_1_3 = 0x0304,
};

/*
 * Reads handshake bytes, stepping over record headers. The first error sticks: reads yield zeros
 * from then on, and the parser asks once.
 */
struct cursor {
	const uint8_t *data;
	size_t at;	    /* of the next byte */
	size_t record_left; /* bytes until the next record header */
	size_t left;	    /* handshake bytes in the current scope */
	const char *why;
};

static void fail(struct cursor *c, const char *why)
{
	if (!c->why)
		c->why = why;
	c->left = 0;
}

static unsigned int be16(const uint8_t *p)
{
	return (unsigned int)p[0] << 8 | p[1];
}

static uint8_t get_u8(struct cursor *c)
{
	if (!c->left) {
		fail(c, "ClientHello is shorter than it says");
		return 0;
	}
	if (!c->record_left) {
		c->record_left = be16(c->data + c->at + 3);
		c->at += RECORD_HEADER;
	}
	c->left--;
	c->record_left--;
	return c->data[c->at++];
}

static unsigned int get_u16(struct cursor *c)
{
	unsigned int high = get_u8(c);

	return high << 8 | get_u8(c);
}

static void get_bytes(struct cursor *c, char *out, size_t n)
{
	while (n--)
		*out++ = (char)get_u8(c);
}

static void skip(struct cursor *c, size_t n)
{
	while (n && c->left) {
		size_t step = n < c->record_left ? n : c->record_left;

		if (!step) {
			(void)get_u8(c);
			n--;
			continue;
		}
		if (step > c->left)
			step = c->left;
		c->at += step;
		c->record_left -= step;
		c->left -= step;
		n -= step;
	}
	if (n)
		fail(c, "ClientHello is shorter than it says");
}

/* Narrows the cursor to the next @n bytes; what was left beyond them is returned for leave(). */
static size_t enter(struct cursor *c, size_t n)
{
	size_t beyond;

	if (n > c->left) {
		fail(c, "ClientHello has a vector longer than what holds it");
		return 0;
	}
	beyond = c->left - n;
	c->left = n;
	return beyond;
}

static void leave(struct cursor *c, size_t beyond)
{
	if (c->left)
		fail(c, "ClientHello has bytes beyond the end of a vector");
	c->left = c->why ? 0 : beyond;
}

static void read_name(struct cursor *c, struct tlshello *h)
{
	size_t beyond = enter(c, get_u16(c)), n;
	char name[URL_HOST_MAX + 2];
	const char *why;

	if (get_u8(c) != 0)
		fail(c, "server name is not a host name");
	n = get_u16(c);
	if (!n || n >= sizeof(name)) {
		fail(c, "server name is empty or too long");
		return;
	}
	get_bytes(c, name, n);
	leave(c, beyond);
	if (!c->why && url_host_parse(name, n, &h->name, &why) < 0)
		fail(c, "server name is not a valid host name");
}

static void read_alpn(struct cursor *c, struct tlshello *h)
{
	size_t beyond = enter(c, get_u16(c));
	char name[255];

	h->has_alpn = true;
	if (!c->left)
		fail(c, "protocol list is empty");
	while (c->left) {
		size_t n = get_u8(c);

		if (!n)
			fail(c, "protocol name is empty");
		get_bytes(c, name, n);
		h->offers_h2 = h->offers_h2 || (n == 2 && memcmp(name, "h2", 2) == 0);
		h->offers_http11 = h->offers_http11 || (n == 8 && memcmp(name, "http/1.1", 8) == 0);
	}
	leave(c, beyond);
}

/* Values outside the range are GREASE, drafts and the like. */
static void read_versions(struct cursor *c, struct tlshello *h)
{
	size_t beyond = enter(c, get_u8(c));

	h->max_version = 0;
	while (c->left) {
		unsigned int v = get_u16(c);

		if (v >= SSL_3_0 && v <= TLS_1_3 && v > h->max_version)
			h->max_version = (uint16_t)v;
	}
	leave(c, beyond);
	if (!h->max_version)
		fail(c, "ClientHello offers no known version");
}

static void read_ech(struct cursor *c, struct tlshello *h)
{
	h->has_ech = true;
	skip(c, c->left);
}

static void read_early_data(struct cursor *c, struct tlshello *h)
{
	(void)c;
	h->has_early_data = true;
}

static const struct {
	unsigned int type;
	void (*read)(struct cursor *, struct tlshello *);
} extensions[] = {
	{ EXT_SERVER_NAME, read_name },
	{ EXT_ALPN, read_alpn },
	{ EXT_EARLY_DATA, read_early_data },
	{ EXT_VERSIONS, read_versions },
	{ EXT_ECH, read_ech },
};

/* @seen: a bit for each of the known ones, none of which may come twice. */
static void read_extension(struct cursor *c, struct tlshello *h, unsigned int *seen)
{
	unsigned int type = get_u16(c);
	size_t beyond = enter(c, get_u16(c));

	for (size_t i = 0; i < sizeof(extensions) / sizeof(extensions[0]) && !c->why; i++) {
		if (extensions[i].type != type)
			continue;
		if (*seen & 1u << i)
			fail(c, "ClientHello has an extension twice");
		*seen |= 1u << i;
		extensions[i].read(c, h);
		leave(c, beyond);
		return;
	}
	skip(c, c->left);
	leave(c, beyond);
}

static void read_extensions(struct cursor *c, struct tlshello *h)
{
	size_t beyond = enter(c, get_u16(c));
	unsigned int seen = 0, n = 0;

	while (c->left) {
		if (++n > TLSHELLO_EXTENSIONS_MAX)
			fail(c, "ClientHello has too many extensions");
		read_extension(c, h, &seen);
	}
	leave(c, beyond);
}

static void read_hello(struct cursor *c, struct tlshello *h)
{
	unsigned int version = get_u16(c), n;

	if (version >> 8 != 3)
		fail(c, "ClientHello has an unknown version");
	h->max_version = (uint16_t)(version < TLS_1_2 ? version : TLS_1_2);
	skip(c, 32);
	n = get_u8(c);
	if (n > 32)
		fail(c, "session id is too long");
	skip(c, n);
	n = get_u16(c);
	if (n < 2 || n % 2)
		fail(c, "cipher suites are malformed");
	skip(c, n);
	n = get_u8(c);
	if (!n)
		fail(c, "compression methods are missing");
	skip(c, n);
	if (c->left)
		read_extensions(c, h);
	if (c->left)
		fail(c, "ClientHello has bytes beyond its end");
}

/* Which of the bytes so far a record header can begin with. */
static enum tlshello_result check_start(const uint8_t *p, size_t len, const char **ret_why)
{
	if (p[0] != TYPE_HANDSHAKE) {
		/* An SSLv2 record: two bytes of length with the high bit, then CLIENT-HELLO. */
		if (!(p[0] & 0x80) || (len >= 3 && p[2] != CLIENT_HELLO))
			return TLSHELLO_NOT_TLS;
		if (len < 3)
			return TLSHELLO_MORE;
		*ret_why = "SSLv2 ClientHello";
		return TLSHELLO_BAD;
	}
	if (len >= 2 && p[1] != 3) {
		*ret_why = "TLS record has an unknown version";
		return TLSHELLO_BAD;
	}
	return TLSHELLO_OK;
}

/* The length of the record at @p, or 0 with a reason. */
static size_t check_record(const uint8_t *p, const char **ret_why)
{
	size_t n = be16(p + 3);

	if (p[0] != TYPE_HANDSHAKE || p[1] != 3)
		*ret_why = "ClientHello is interrupted by another record";
	else if (!n || n > RECORD_MAX)
		*ret_why = "TLS record has an invalid length";
	else
		return n;
	return 0;
}

/*
 * Walks the records: whether the message is whole. Its first four bytes, type and length, may
 * themselves be spread over records.
 */
static enum tlshello_result find_end(
	const uint8_t *p, size_t len, size_t *ret_end, size_t *ret_size, const char **ret_why)
{
	size_t at = 0, have = 0, need = 4;
	uint8_t head[4] = { 0 };

	for (unsigned int records = 0; have < need; records++) {
		size_t n, there;

		if (len - at < RECORD_HEADER)
			return TLSHELLO_MORE;
		n = check_record(p + at, ret_why);
		if (!n || records == TLSHELLO_RECORDS_MAX) {
			if (n)
				*ret_why = "ClientHello is spread over too many records";
			return TLSHELLO_BAD;
		}
		at += RECORD_HEADER;
		there = n < len - at ? n : len - at;
		for (size_t i = 0; i < there && have + i < 4; i++)
			head[have + i] = p[at + i];
		if (have + there >= 1 && head[0] != CLIENT_HELLO) {
			*ret_why = "first handshake message is not a ClientHello";
			return TLSHELLO_BAD;
		}
		have += there;
		if (have >= 4)
			need = 4 + ((size_t)head[1] << 16 | be16(head + 2));
		at += there;
		if (need > TLSHELLO_MAX) {
			*ret_why = "ClientHello is too long";
			return TLSHELLO_BAD;
		}
		if (there < n)
			return TLSHELLO_MORE;
	}
	*ret_end = at;
	*ret_size = need;
	if (have == need)
		return TLSHELLO_OK;
	*ret_why = "ClientHello does not end with its record";
	return TLSHELLO_BAD;
}

enum tlshello_result tlshello_parse(
	struct tlshello *ret, const char *data, size_t len, const char **ret_why)
{
	struct cursor c = { .data = (const uint8_t *)data };
	struct tlshello h = { .max_version = 0 };
	enum tlshello_result r;

	if (!len)
		return TLSHELLO_MORE;
	r = check_start(c.data, len, ret_why);
	if (r == TLSHELLO_OK)
		r = find_end(c.data, len, &h.len, &c.left, ret_why);
	if (r == TLSHELLO_MORE && len >= TLSHELLO_MAX) {
		*ret_why = "ClientHello is too long";
		r = TLSHELLO_BAD;
	}
	if (r != TLSHELLO_OK)
		return r;
	skip(&c, 4);
	read_hello(&c, &h);
	if (c.why) {
		*ret_why = c.why;
		return TLSHELLO_BAD;
	}
	*ret = h;
	return TLSHELLO_OK;
}
