#include "lib/websocket.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "lib/str.h"

enum { FIN = 0x80, RSV = 0x70, RSV1 = 0x40, MASKED = 0x80, INFLATE_STEP = 16384 };

void ws_parser_init(struct ws_parser *p, bool has_deflate, bool deny_binary)
{
	*p = (struct ws_parser){ .has_deflate = has_deflate, .deny_binary = deny_binary };
	buf_init(&p->text, WS_TEXT_MAX);
	buf_init(&p->inflated, WS_TEXT_MAX);
}

void ws_parser_done(struct ws_parser *p)
{
	buf_done(&p->text);
	buf_done(&p->inflated);
}

bool ws_is_assembling(const struct ws_parser *p)
{
	return p->state == WS_TEXT_PAYLOAD || p->message == WS_TEXT;
}

static int fail(struct ws_parser *p, struct ws_item *ret, enum ws_close code, const char *why)
{
	p->state = WS_FAILED;
	*ret = (struct ws_item){ .close = code, .why = why };
	return -EBADMSG;
}

static int protocol(struct ws_parser *p, struct ws_item *ret, const char *why)
{
	return fail(p, ret, WS_CLOSE_PROTOCOL, why);
}

static bool is_control(const struct ws_parser *p)
{
	return p->opcode >= WS_CLOSE;
}

/* The length of the header of which raw_len bytes are there. */
static size_t header_len(const struct ws_parser *p)
{
	size_t n = 2;

	if (p->raw_len < 2)
		return n;
	n += (p->raw[1] & 0x7f) == 126 ? 2 : (p->raw[1] & 0x7f) == 127 ? 8 : 0;
	return n + (p->raw[1] & MASKED ? 4 : 0);
}

static uint64_t big_endian(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | *p++;
	return v;
}

static int read_length(struct ws_parser *p, struct ws_item *ret)
{
	uint8_t code = p->raw[1] & 0x7f;

	p->left = code;
	if (code == 126) {
		p->left = big_endian(p->raw + 2, 2);
		if (p->left < 126)
			return protocol(p, ret, "frame has a non-minimal 16-bit length");
	} else if (code == 127) {
		p->left = big_endian(p->raw + 2, 8);
		if (p->left >> 63)
			return protocol(p, ret, "frame has a length beyond 63 bits");
		if (p->left <= UINT16_MAX)
			return protocol(p, ret, "frame has a non-minimal 64-bit length");
	}
	return 0;
}

/* RSV1 says compressed, on the first frame of a message and where that was agreed. */
static bool has_valid_rsv(const struct ws_parser *p)
{
	uint8_t rsv = p->raw[0] & RSV;

	if (!rsv)
		return true;
	return rsv == RSV1 && p->has_deflate && p->message == WS_CONTINUATION &&
	       (p->opcode == WS_TEXT || p->opcode == WS_BINARY);
}

static int check_control(struct ws_parser *p, struct ws_item *ret)
{
	if (p->opcode > WS_PONG)
		return protocol(p, ret, "frame has a reserved opcode");
	if (!p->is_final)
		return protocol(p, ret, "control frame is fragmented");
	if (p->left > WS_CONTROL_MAX)
		return protocol(p, ret, "control frame exceeds 125 bytes");
	return 0;
}

static int check_data(struct ws_parser *p, struct ws_item *ret)
{
	bool is_raw = p->opcode == WS_BINARY || p->message == WS_BINARY;

	if (p->opcode > WS_BINARY)
		return protocol(p, ret, "frame has a reserved opcode");
	if (p->opcode != WS_CONTINUATION && p->message != WS_CONTINUATION)
		return protocol(p, ret, "data frame before the previous fragmented message ended");
	if (p->opcode == WS_CONTINUATION && p->message == WS_CONTINUATION)
		return protocol(p, ret, "continuation frame without a fragmented message");
	p->fragments = p->opcode == WS_CONTINUATION ? p->fragments + 1 : 1;
	if (p->fragments > WS_FRAGMENTS_MAX)
		return protocol(p, ret, "message has too many fragments");
	if (is_raw && p->left > WS_RAW_MAX)
		return protocol(p, ret, "binary frame exceeds the relay limit");
	if (is_raw && p->deny_binary)
		return fail(p, ret, WS_CLOSE_POLICY, "binary frame denied on this endpoint");
	if (!is_raw && p->left > WS_TEXT_MAX - p->text.len)
		return fail(p, ret, WS_CLOSE_TOO_BIG, "text message exceeds the limit");
	return 0;
}

static int pass(struct ws_item *ret, const void *data, size_t len)
{
	*ret = (struct ws_item){ .data = data, .len = len };
	return WS_PASS;
}

/* A new message begins with this frame, or one goes on. */
static void note_message(struct ws_parser *p)
{
	if (p->opcode == WS_CONTINUATION)
		return;
	p->message = p->opcode;
	p->is_compressed = p->raw[0] & RSV1;
	buf_reset(&p->text);
}

/* The header is there: checks it, chooses what to do with the payload. */
static int on_header(struct ws_parser *p, struct ws_item *ret)
{
	int r = read_length(p, ret);

	p->opcode = p->raw[0] & 0x0f;
	p->is_final = p->raw[0] & FIN;
	if (r == 0 && !has_valid_rsv(p))
		r = protocol(p, ret, "frame has unsupported RSV bits");
	if (r == 0 && !(p->raw[1] & MASKED))
		r = protocol(p, ret, "client frame is not masked");
	if (r == 0)
		r = is_control(p) ? check_control(p, ret) : check_data(p, ret);
	if (r < 0)
		return r;
	memcpy(p->mask, p->raw + p->raw_len - 4, 4);
	p->mask_at = 0;
	if (is_control(p)) {
		p->state = WS_CONTROL;
		return WS_MORE;
	}
	note_message(p);
	p->state = p->message == WS_TEXT ? WS_TEXT_PAYLOAD : WS_RAW_PAYLOAD;
	return p->state == WS_RAW_PAYLOAD ? pass(ret, p->raw, p->raw_len) : WS_MORE;
}

static bool is_valid_close_code(unsigned int code)
{
	return (code >= 1000 && code <= 1014 && (code < 1004 || code > 1006)) ||
	       (code >= 3000 && code <= 4999);
}

static int check_close(struct ws_parser *p, size_t header, struct ws_item *ret)
{
	uint8_t payload[WS_CONTROL_MAX];
	size_t n = p->raw_len - header;

	for (size_t i = 0; i < n; i++)
		payload[i] = p->raw[header + i] ^ p->mask[i % 4];
	if (n == 1)
		return protocol(p, ret, "close frame has a payload of one byte");
	if (n && !is_valid_close_code((unsigned int)big_endian(payload, 2)))
		return protocol(p, ret, "close frame has an invalid close code");
	if (n && !str_is_utf8((char *)payload + 2, n - 2))
		return fail(p, ret, WS_CLOSE_UTF8, "close reason is not valid UTF-8");
	return 0;
}

/* A control frame is held until it is whole: a close frame must be valid before it passes. */
static int on_control_end(struct ws_parser *p, struct ws_item *ret)
{
	size_t n = p->raw_len;
	int r = p->opcode == WS_CLOSE ? check_close(p, header_len(p), ret) : 0;

	if (r < 0)
		return r;
	p->state = p->opcode == WS_CLOSE ? WS_CLOSED : WS_HEADER;
	p->raw_len = 0;
	return pass(ret, p->raw, n);
}

static int inflate_some(struct ws_parser *p, z_stream *z, int *ret_status, struct ws_item *ret)
{
	size_t room = buf_room(&p->inflated), n = room < INFLATE_STEP ? room : INFLATE_STEP;
	uint8_t probe;
	uint8_t *out = n ? (uint8_t *)buf_reserve(&p->inflated, n) : &probe;

	if (!out)
		return -ENOMEM;
	z->next_out = out;
	z->avail_out = n ? (uInt)n : 1;
	*ret_status = inflate(z, Z_SYNC_FLUSH);
	if (*ret_status != Z_OK && *ret_status != Z_STREAM_END && *ret_status != Z_BUF_ERROR)
		return protocol(p, ret, "compressed message does not inflate");
	if (!n && !z->avail_out)
		return fail(p, ret, WS_CLOSE_TOO_BIG, "text message exceeds the limit");
	if (n)
		buf_commit(&p->inflated, n - z->avail_out);
	return 0;
}

/*
 * RFC 7692 section 7.2.2: the message with 00 00 ff ff added. A final block may end it early; what
 * may follow that is the empty block the sender pads with, and nothing else.
 */
static int inflate_message(struct ws_parser *p, z_stream *z, struct ws_item *ret)
{
	static const char tail[] = { 0, 0, '\xff', '\xff' };
	int status = Z_OK, r = 0;

	for (int part = 0; part < 2 && r == 0; part++) {
		z->next_in = (Bytef *)(part ? tail : buf_head(&p->text));
		z->avail_in = part ? sizeof(tail) : (uInt)p->text.len;
		do
			r = inflate_some(p, z, &status, ret);
		while (r == 0 && status == Z_OK && (z->avail_in || !z->avail_out));
		if (r == 0 && status == Z_STREAM_END) {
			if (!part && (z->avail_in > 1 || (z->avail_in && *z->next_in)))
				return protocol(
					p, ret, "compressed message has data after its end");
			return 0;
		}
	}
	/* 128: between two blocks (zlib.h), as after a whole message. */
	if (r == 0 && !(z->data_type & 128))
		return protocol(p, ret, "compressed message is cut off");
	return r;
}

static int inflate_text(struct ws_parser *p, struct ws_item *ret)
{
	z_stream z = { .zalloc = Z_NULL };
	int r;

	buf_reset(&p->inflated);
	if (!p->text.len)
		return protocol(p, ret, "compressed message is empty");
	if (inflateInit2(&z, -MAX_WBITS) != Z_OK)
		return -ENOMEM;
	r = inflate_message(p, &z, ret);
	(void)inflateEnd(&z);
	return r;
}

static void trim_buffers(struct ws_parser *p)
{
	if (p->text.alloc > WS_KEEP_BUFFER)
		buf_done(&p->text);
	if (p->inflated.alloc > WS_KEEP_BUFFER)
		buf_done(&p->inflated);
	buf_reset(&p->text);
}

static int on_message_end(struct ws_parser *p, struct ws_item *ret)
{
	const struct buf *b = p->is_compressed ? &p->inflated : &p->text;
	int r = p->is_compressed ? inflate_text(p, ret) : 0;

	if (r < 0)
		return r;
	if (!str_is_utf8(b->len ? buf_head(b) : "", b->len))
		return fail(p, ret, WS_CLOSE_UTF8, "text message is not valid UTF-8");
	*ret = (struct ws_item){ .data = b->len ? buf_head(b) : "", .len = b->len };
	return WS_MESSAGE;
}

/* The payload of a data frame has ended. */
static int on_frame_end(struct ws_parser *p, struct ws_item *ret)
{
	bool is_text = p->state == WS_TEXT_PAYLOAD;

	p->state = WS_HEADER;
	p->raw_len = 0;
	if (!p->is_final)
		return WS_MORE;
	p->message = WS_CONTINUATION;
	return is_text ? on_message_end(p, ret) : WS_MORE;
}

/* XORs @n bytes with the mask, from its byte @at; eight at a time. */
static void apply_mask(void *out, const void *in, size_t n, const uint8_t *mask, unsigned int at)
{
	const uint8_t *from = in;
	uint8_t *to = out, key[8];
	uint64_t k, w;
	size_t i = 0;

	for (size_t j = 0; j < sizeof(key); j++)
		key[j] = mask[(at + j) & 3];
	memcpy(&k, key, sizeof(k));
	for (; n - i >= sizeof(w); i += sizeof(w)) {
		memcpy(&w, from + i, sizeof(w));
		w ^= k;
		memcpy(to + i, &w, sizeof(w));
	}
	for (; i < n; i++)
		to[i] = from[i] ^ key[i & 7];
}

static int unmask(struct ws_parser *p, const char *in, size_t n)
{
	char *out = buf_reserve(&p->text, n);

	if (!out)
		return -ENOMEM;
	apply_mask(out, in, n, p->mask, p->mask_at);
	p->mask_at = (unsigned int)((p->mask_at + n) & 3);
	buf_commit(&p->text, n);
	return 0;
}

/* Takes header bytes: how many of @len. */
static size_t take_raw(struct ws_parser *p, const char *in, size_t len, size_t want)
{
	size_t n = want - p->raw_len < len ? want - p->raw_len : len;

	memcpy(p->raw + p->raw_len, in, n);
	p->raw_len += n;
	return n;
}

static int on_header_bytes(
	struct ws_parser *p, const char *in, size_t len, size_t *used, struct ws_item *ret)
{
	*used += take_raw(p, in, len, header_len(p));
	return p->raw_len < header_len(p) ? WS_MORE : on_header(p, ret);
}

static int on_control_bytes(
	struct ws_parser *p, const char *in, size_t len, size_t *used, struct ws_item *ret)
{
	size_t want = header_len(p) + (size_t)p->left;

	*used += take_raw(p, in, len, want);
	return p->raw_len < want ? WS_MORE : on_control_end(p, ret);
}

static int on_text_bytes(
	struct ws_parser *p, const char *in, size_t len, size_t *used, struct ws_item *ret)
{
	size_t n = p->left < len ? (size_t)p->left : len;
	int r = n ? unmask(p, in, n) : 0;

	if (r < 0)
		return r;
	*used += n;
	p->left -= n;
	return p->left ? WS_MORE : on_frame_end(p, ret);
}

static int on_raw_bytes(
	struct ws_parser *p, const char *in, size_t len, size_t *used, struct ws_item *ret)
{
	size_t n = p->left < len ? (size_t)p->left : len;
	int r;

	*used += n;
	p->left -= n;
	if (!p->left) {
		r = on_frame_end(p, ret);
		if (r < 0)
			return r;
	}
	return n ? pass(ret, in, n) : WS_MORE;
}

static int on_late_bytes(
	struct ws_parser *p, const char *in, size_t len, size_t *used, struct ws_item *ret)
{
	(void)in;
	(void)len;
	(void)used;
	return protocol(p, ret, p->state == WS_CLOSED ? "frame after close" : "connection failed");
}

/* Whether the state can go on without input: a payload of no bytes. */
static bool is_due(const struct ws_parser *p)
{
	return !p->left && (p->state == WS_TEXT_PAYLOAD || p->state == WS_RAW_PAYLOAD ||
				   p->state == WS_CONTROL);
}

int ws_next(struct ws_parser *p, const char *in, size_t len, size_t *ret_used, struct ws_item *ret)
{
	static int (*const on_bytes[])(
		struct ws_parser *, const char *, size_t, size_t *, struct ws_item *) = {
		[WS_HEADER] = on_header_bytes,
		[WS_CONTROL] = on_control_bytes,
		[WS_TEXT_PAYLOAD] = on_text_bytes,
		[WS_RAW_PAYLOAD] = on_raw_bytes,
		[WS_CLOSED] = on_late_bytes,
		[WS_FAILED] = on_late_bytes,
	};
	int r = WS_MORE;

	*ret_used = 0;
	if (p->state == WS_HEADER && !p->raw_len && p->message == WS_CONTINUATION)
		trim_buffers(p);
	while (r == WS_MORE && (*ret_used < len || is_due(p)))
		r = on_bytes[p->state](p, in + *ret_used, len - *ret_used, ret_used, ret);
	return r;
}

static size_t put_header(uint8_t *h, enum ws_opcode opcode, size_t len, const uint8_t *mask)
{
	size_t n = len < 126 ? 0 : len <= UINT16_MAX ? 2 : 8, at = 2;

	h[0] = (uint8_t)(FIN | opcode);
	h[1] = (uint8_t)((n == 0 ? len : n == 2 ? 126 : 127) | (mask ? MASKED : 0));
	while (n--)
		h[at++] = (uint8_t)((uint64_t)len >> (8 * n));
	if (mask) {
		memcpy(h + at, mask, 4);
		at += 4;
	}
	return at;
}

int ws_write_frame(struct buf *out, enum ws_opcode opcode, const void *payload, size_t len,
	const uint8_t *mask)
{
	static const uint8_t none[4];
	uint8_t header[WS_HEADER_MAX], *to;
	size_t n = put_header(header, opcode, len, mask);

	if (n > buf_room(out) || len > buf_room(out) - n)
		return -ENOBUFS;
	to = (uint8_t *)buf_reserve(out, n + len);
	if (!to)
		return -ENOMEM;
	memcpy(to, header, n);
	apply_mask(to + n, payload, len, mask ? mask : none, 0);
	buf_commit(out, n + len);
	return 0;
}

int ws_write_close(struct buf *out, enum ws_close code, const char *reason, const uint8_t *mask)
{
	uint8_t payload[WS_CONTROL_MAX];
	size_t n = strnlen(reason, sizeof(payload) - 2);

	/* Not within a character. */
	while (n && reason[n] && (reason[n] & 0xc0) == 0x80)
		n--;
	payload[0] = (uint8_t)(code >> 8);
	payload[1] = (uint8_t)(code & 255);
	memcpy(payload + 2, reason, n);
	return ws_write_frame(out, WS_CLOSE, payload, n + 2, mask);
}
