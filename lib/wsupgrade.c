#include "lib/wsupgrade.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "lib/http1.h"

static int refuse(const char **ret_why, const char *why)
{
	*ret_why = why;
	return -EBADMSG;
}

/* The only field @id, or NULL: none, or several. */
static const struct http1_header *only(const struct http1_fields *f, enum http1_name id)
{
	const struct http1_header *found = NULL;

	for (size_t i = 0; i < f->n; i++) {
		if (f->list[i].id != id)
			continue;
		if (found)
			return NULL;
		found = &f->list[i];
	}
	return found;
}

static bool has_upgrade(const struct http1_fields *f)
{
	for (size_t i = 0; i < f->n; i++) {
		if (f->list[i].id == HTTP1_UPGRADE &&
			http1_has_token(f->list[i].value, f->list[i].value_len, "websocket"))
			return true;
	}
	return false;
}

/* 16 bytes are 22 digits, the last of which carries four bits of zero, and two "=". */
static bool is_key(const struct http1_header *h)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	if (!h || h->value_len != WS_KEY_LEN || memcmp(h->value + 22, "==", 2) != 0)
		return false;
	for (size_t i = 0; i < 22; i++) {
		if (!memchr(digits, h->value[i], 64))
			return false;
	}
	return memchr("AQgw", h->value[21], 4) != NULL;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Cuts the next element off @list at @separator, without blanks around it; false at the end. */
static bool cut(const char **list, size_t *left, char separator, const char **ret, size_t *ret_len)
{
	const char *end;

	if (!*list)
		return false;
	end = memchr(*list, separator, *left);
	*ret = *list;
	*ret_len = end ? (size_t)(end - *list) : *left;
	*left = end ? *left - *ret_len - 1 : 0;
	*list = end ? end + 1 : NULL;
	for (; *ret_len && is_blank((*ret)[0]); (*ret_len)--)
		(*ret)++;
	while (*ret_len && is_blank((*ret)[*ret_len - 1]))
		(*ret_len)--;
	return true;
}

static int add_protocols(struct ws_upgrade *u, const struct http1_header *h, const char **ret_why)
{
	const char *list = h->value, *name;
	size_t left = h->value_len, len;

	while (cut(&list, &left, ',', &name, &len)) {
		if (!http1_is_token(name, len))
			return refuse(ret_why, "invalid Sec-WebSocket-Protocol");
		if (u->n_protocols == WS_PROTOCOLS_MAX)
			return refuse(ret_why, "too many WebSocket subprotocols");
		u->protocols[u->n_protocols].name = name;
		u->protocols[u->n_protocols++].len = len;
	}
	return 0;
}

static bool equals(const char *s, size_t len, const char *word)
{
	return strlen(word) == len && strncasecmp(s, word, len) == 0;
}

/* One element of Sec-WebSocket-Extensions. */
struct offer {
	bool is_deflate;
	bool client, server; /* _no_context_takeover */
	bool is_unsupported; /* another parameter, a value, or one twice */
};

static int parse_param(struct offer *o, const char *param, size_t len, const char **ret_why)
{
	const char *eq = memchr(param, '=', len), *value = eq ? eq + 1 : NULL;
	size_t n = eq ? (size_t)(eq - param) : len, left = eq ? len - n - 1 : 0;
	bool *flag = NULL;

	while (n && is_blank(param[n - 1]))
		n--;
	while (left && is_blank(value[0])) {
		value++;
		left--;
	}
	if (!http1_is_token(param, n) || (eq && !http1_is_token(value, left)))
		return refuse(ret_why, "invalid WebSocket extension parameter");
	if (equals(param, n, "client_no_context_takeover"))
		flag = &o->client;
	else if (equals(param, n, "server_no_context_takeover"))
		flag = &o->server;
	if (!flag || eq || *flag)
		o->is_unsupported = true;
	else
		*flag = true;
	return 0;
}

static int parse_offer(struct offer *o, const char *text, size_t left, const char **ret_why)
{
	const char *part = "";
	size_t len = 0;
	int r = 0;

	*o = (struct offer){ .is_deflate = false };
	(void)cut(&text, &left, ';', &part, &len);
	if (!http1_is_token(part, len))
		return refuse(ret_why, "invalid WebSocket extension");
	o->is_deflate = equals(part, len, "permessage-deflate");
	while (r == 0 && cut(&text, &left, ';', &part, &len))
		r = parse_param(o, part, len, ret_why);
	return r;
}

typedef int offer_fn(void *arg, const struct offer *o, const char **ret_why);

static int each_offer(const struct http1_fields *f, offer_fn *fn, void *arg, const char **ret_why)
{
	int r = 0;

	for (size_t i = 0; i < f->n && r == 0; i++) {
		const char *list = f->list[i].value, *text;
		size_t left = f->list[i].value_len, len;
		struct offer o;

		if (f->list[i].id != HTTP1_WS_EXTENSIONS)
			continue;
		while (r == 0 && cut(&list, &left, ',', &text, &len)) {
			r = parse_offer(&o, text, len, ret_why);
			if (r == 0)
				r = fn(arg, &o, ret_why);
		}
	}
	return r;
}

/* The client's first offer that can be followed. */
static int on_offer(void *arg, const struct offer *o, const char **ret_why)
{
	struct ws_upgrade *u = arg;

	(void)ret_why;
	if (!u->extension && o->is_deflate && o->client && !o->is_unsupported)
		u->extension = o->server ? WS_DEFLATE_OFFER_BOTH : WS_DEFLATE_OFFER;
	return 0;
}

static int parse_lists(struct ws_upgrade *u, const struct http1_fields *f, const char **ret_why)
{
	int r = 0;

	for (size_t i = 0; i < f->n && r == 0; i++) {
		if (f->list[i].id == HTTP1_WS_PROTOCOL)
			r = add_protocols(u, &f->list[i], ret_why);
	}
	return r < 0 ? r : each_offer(f, on_offer, u, ret_why);
}

int ws_upgrade_parse(struct ws_upgrade *ret, const char *method, unsigned int minor,
	const struct http1_fields *f, const char **ret_why)
{
	const struct http1_header *key = only(f, HTTP1_WS_KEY);
	const struct http1_header *version = only(f, HTTP1_WS_VERSION);

	if (strcmp(method, "GET") != 0)
		return refuse(ret_why, "WebSocket upgrade must use GET");
	if (minor != 1)
		return refuse(ret_why, "WebSocket upgrade needs HTTP/1.1");
	if (!has_upgrade(f))
		return refuse(ret_why, "WebSocket upgrade is missing Upgrade: websocket");
	if (!f->says_upgrade)
		return refuse(ret_why, "WebSocket upgrade is missing Connection: Upgrade");
	if (!is_key(key))
		return refuse(ret_why, "WebSocket upgrade needs one valid Sec-WebSocket-Key");
	if (!version || !equals(version->value, version->value_len, "13"))
		return refuse(ret_why, "WebSocket upgrade needs Sec-WebSocket-Version: 13");
	if (f->framing != HTTP1_NO_BODY && !(f->framing == HTTP1_LENGTH && !f->content_length))
		return refuse(ret_why, "WebSocket upgrade has a body");
	*ret = (struct ws_upgrade){ .key = key->value };
	return parse_lists(ret, f, ret_why);
}

struct chosen {
	const char *offered;
	bool is_deflate;
};

/*
 * The server may confirm what was offered. It may promise more for its own side, but the client
 * must have been told to start each message afresh.
 */
static int on_chosen(void *arg, const struct offer *o, const char **ret_why)
{
	struct chosen *c = arg;
	bool both = c->offered && strcmp(c->offered, WS_DEFLATE_OFFER_BOTH) == 0;

	if (!c->offered || c->is_deflate || !o->is_deflate || o->is_unsupported)
		return refuse(ret_why, "server chose a WebSocket extension that was not offered");
	if (!o->client || (both && !o->server))
		return refuse(ret_why, "server changed the WebSocket extension that was offered");
	c->is_deflate = true;
	return 0;
}

static bool was_offered(const struct ws_upgrade *u, const struct http1_header *h)
{
	for (size_t i = 0; i < u->n_protocols; i++) {
		if (u->protocols[i].len == h->value_len &&
			memcmp(u->protocols[i].name, h->value, h->value_len) == 0)
			return true;
	}
	return false;
}

int ws_answer_check(const struct ws_upgrade *u, const struct http1_fields *f, const char *offered,
	bool is_opaque, bool *ret_deflate, const char **ret_why)
{
	const struct http1_header *accept = only(f, HTTP1_WS_ACCEPT);
	struct chosen c = { .offered = offered };
	char want[WS_ACCEPT_SIZE];
	int r = 0;

	ws_accept(want, u->key);
	if (!has_upgrade(f) || !f->says_upgrade)
		return refuse(ret_why, "server's answer is not a WebSocket upgrade");
	if (!accept || accept->value_len != WS_ACCEPT_SIZE - 1 ||
		memcmp(accept->value, want, WS_ACCEPT_SIZE - 1) != 0)
		return refuse(ret_why, "server's Sec-WebSocket-Accept is wrong");
	if (http1_find(f->list, f->n, HTTP1_WS_PROTOCOL)) {
		const struct http1_header *h = only(f, HTTP1_WS_PROTOCOL);

		if (!h || !was_offered(u, h))
			return refuse(ret_why, "server chose a subprotocol that was not offered");
	}
	if (!is_opaque)
		r = each_offer(f, on_chosen, &c, ret_why);
	if (r == 0)
		*ret_deflate = c.is_deflate;
	return r;
}

static uint32_t rotl(uint32_t v, unsigned int n)
{
	return v << n | v >> (32 - n);
}

/* One block of SHA-1 (FIPS 180-4). The handshake asks for it; no secret depends on it. */
static void sha1_block(uint32_t h[5], const unsigned char *p)
{
	uint32_t w[80], v[5];

	for (size_t i = 0; i < 16; i++, p += 4)
		w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
	for (size_t i = 16; i < 80; i++)
		w[i] = rotl(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	memcpy(v, h, sizeof(v));
	for (size_t i = 0; i < 80; i++) {
		static const uint32_t k[] = { 0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6 };
		uint32_t f = i < 20		 ? (v[1] & v[2]) | (~v[1] & v[3])
			     : i < 40 || i >= 60 ? v[1] ^ v[2] ^ v[3]
						 : (v[1] & v[2]) | (v[1] & v[3]) | (v[2] & v[3]);
		uint32_t t = rotl(v[0], 5) + f + v[4] + k[i / 20] + w[i];

		v[4] = v[3];
		v[3] = v[2];
		v[2] = rotl(v[1], 30);
		v[1] = v[0];
		v[0] = t;
	}
	for (size_t i = 0; i < 5; i++)
		h[i] += v[i];
}

static void put_base64(char *out, const unsigned char *in, size_t len)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < len; i += 3, out += 4) {
		uint32_t v = (uint32_t)in[i] << 16 | (i + 1 < len ? (uint32_t)in[i + 1] << 8 : 0) |
			     (i + 2 < len ? in[i + 2] : 0);

		out[0] = digits[v >> 18];
		out[1] = digits[v >> 12 & 63];
		out[2] = i + 1 < len ? digits[v >> 6 & 63] : '=';
		out[3] = i + 2 < len ? digits[v & 63] : '=';
	}
	*out = '\0';
}

/* Key and GUID are 60 bytes, so that the padded message is two blocks, always. */
void ws_accept(char ret[WS_ACCEPT_SIZE], const char *key)
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	uint32_t h[5] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0 };
	unsigned char block[128] = { 0 }, digest[20];

	memcpy(block, key, WS_KEY_LEN);
	memcpy(block + WS_KEY_LEN, guid, sizeof(guid) - 1);
	block[60] = 0x80;
	block[126] = 480 >> 8;
	block[127] = 480 & 255;
	sha1_block(h, block);
	sha1_block(h, block + 64);
	for (size_t i = 0; i < sizeof(digest); i++)
		digest[i] = (unsigned char)(h[i / 4] >> (24 - i % 4 * 8));
	put_base64(ret, digest, sizeof(digest));
}
