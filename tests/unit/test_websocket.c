#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "lib/websocket.h"
#include "tests/support/vectors.h"

static const uint8_t mask[4] = { 0x37, 0xfa, 0x21, 0x3d };

struct outcome {
	int r;
	struct ws_item item; /* on error */
	char text[256];	     /* messages, each followed by "|" */
	struct buf passed;
};

/* Feeds @in in steps of @step bytes. */
static void feed(struct ws_parser *p, struct outcome *o, const void *in, size_t len, size_t step)
{
	size_t at = 0, used;
	struct ws_item item;

	o->r = WS_MORE;
	o->text[0] = '\0';
	buf_init(&o->passed, 65536);
	do {
		size_t n = len - at < step ? len - at : step;

		o->r = ws_next(p, (const char *)in + at, n, &used, &item);
		at += used;
		if (o->r == WS_MESSAGE) {
			strncat(o->text, item.data, item.len < 100 ? item.len : 100);
			strcat(o->text, "|");
		} else if (o->r == WS_PASS) {
			assert_int_equal(buf_append(&o->passed, item.data, item.len), 0);
		} else if (o->r < 0) {
			o->item = item;
		}
	} while (o->r >= 0 && (o->r != WS_MORE || at < len));
}

static bool frame_case(const char *id, json_t *input, json_t *expect)
{
	const char *bytes = json_string_value(json_object_get(input, "client_bytes_b64"));
	const char *text = json_string_value(json_object_get(expect, "upstream_text"));
	const char *reason = json_string_value(json_object_get(expect, "reason"));
	bool close, ok = true;
	unsigned char *raw;
	size_t len;

	(void)id;
	if (!bytes)
		return true; /* about GraphQL: test_graphql.c */
	raw = vector_base64(bytes, &len);
	close = strcmp(json_string_value(json_object_get(expect, "result")), "close") == 0;
	for (size_t step = 1; step <= len && ok; step++) {
		struct ws_parser p;
		struct outcome o;

		ws_parser_init(&p, json_object_get(input, "compression"),
			vector_flag(input, "credentialed_endpoint"));
		feed(&p, &o, raw, len, step);
		if (close)
			ok = o.r == -EBADMSG && strstr(o.item.why, reason) &&
			     o.item.close ==
				     json_integer_value(json_object_get(expect, "close_code"));
		else
			ok = o.r == WS_MORE && (!text || strncmp(o.text, text, strlen(text)) == 0);
		buf_done(&o.passed);
		ws_parser_done(&p);
	}
	free(raw);
	return ok;
}

static void every_frame_of_the_table_is_judged(void **state)
{
	(void)state;
	assert_int_equal(vectors_run("tests/vectors/websocket_frames.jsonl", frame_case), 0);
}

/* Appends one client frame with these header bits. */
static void add_frame(struct buf *b, unsigned int first, const void *payload, size_t len)
{
	size_t at = b->len;

	assert_int_equal(ws_write_frame(b, WS_TEXT, payload, len, mask), 0);
	buf_head(b)[at] = (char)first;
}

static void text_and_raw_frames_interleave(void **state)
{
	struct ws_parser p;
	struct outcome o;
	struct buf in;

	(void)state;
	buf_init(&in, 65536);
	add_frame(&in, 0x01, "he", 2);
	add_frame(&in, 0x89, "ping", 4);
	add_frame(&in, 0x00, "", 0);
	add_frame(&in, 0x80, "llo", 3);
	add_frame(&in, 0x82, "binary", 6);
	add_frame(&in, 0x81, "", 0);
	add_frame(&in, 0x82, "", 0);
	add_frame(&in, 0x81, "x", 1);
	for (size_t step = 1; step <= in.len; step++) {
		ws_parser_init(&p, false, false);
		feed(&p, &o, buf_head(&in), in.len, step);
		assert_int_equal(o.r, WS_MORE);
		assert_string_equal(o.text, "hello||x|");
		assert_int_equal(o.passed.len, 6 + 4 + 6 + 6 + 6);
		assert_false(ws_is_assembling(&p));
		buf_done(&o.passed);
		ws_parser_done(&p);
	}
	buf_done(&in);
}

/* Raw deflate of @len bytes without the final 00 00 ff ff; the length. */
static size_t deflate_message(void *out, size_t size, const void *in, size_t len)
{
	z_stream z = { .next_in = (Bytef *)in,
		.avail_in = (uInt)len,
		.next_out = out,
		.avail_out = (uInt)size };

	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_SYNC_FLUSH), Z_OK);
	(void)deflateEnd(&z);
	return size - z.avail_out - 4;
}

/* Feeds one compressed message: the result, the message in o->text. */
static int feed_compressed(struct outcome *o, const void *payload, size_t len)
{
	struct ws_parser p;
	struct buf in;

	buf_init(&in, WS_TEXT_MAX);
	add_frame(&in, 0xc1, payload, len);
	ws_parser_init(&p, true, false);
	feed(&p, o, buf_head(&in), in.len, in.len);
	buf_done(&o->passed);
	ws_parser_done(&p);
	buf_done(&in);
	return o->r;
}

static void compressed_messages_are_inflated(void **state)
{
	static const uint8_t final[] = { 0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00 };
	static const uint8_t two_blocks[] = { 0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca,
		0xc9, 0xc9, 0x07, 0x00 };
	struct outcome o;
	uint8_t z[256];

	(void)state;
	assert_int_equal(
		feed_compressed(&o, z, deflate_message(z, sizeof(z), "{\"a\":1}", 7)), WS_MORE);
	assert_string_equal(o.text, "{\"a\":1}|");
	assert_int_equal(feed_compressed(&o, final, sizeof(final)), WS_MORE);
	assert_string_equal(o.text, "Hello|");
	assert_int_equal(feed_compressed(&o, two_blocks, sizeof(two_blocks)), WS_MORE);
	assert_string_equal(o.text, "Hello|");
}

static void malformed_compression_is_refused(void **state)
{
	static const uint8_t trailing[] = { 0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x01 };
	static const uint8_t cut[] = { 0x00, 0x05, 0x00, 0xfa, 0xff, 'H', 'e' };
	struct outcome o;

	(void)state;
	assert_int_equal(feed_compressed(&o, "\xff\xff\xff", 3), -EBADMSG);
	assert_int_equal(o.item.close, WS_CLOSE_PROTOCOL);
	assert_int_equal(feed_compressed(&o, trailing, sizeof(trailing)), -EBADMSG);
	assert_int_equal(feed_compressed(&o, cut, sizeof(cut)), -EBADMSG);
	assert_int_equal(feed_compressed(&o, "", 0), -EBADMSG);
}

static void a_bomb_stops_at_the_limit(void **state)
{
	size_t len = WS_TEXT_MAX + 1;
	char *zeros = malloc(len), *z = malloc(65536);
	struct outcome o;
	size_t n;

	(void)state;
	memset(zeros, 'a', len);
	n = deflate_message(z, 65536, zeros, len);
	assert_int_equal(feed_compressed(&o, z, n), -EBADMSG);
	assert_int_equal(o.item.close, WS_CLOSE_TOO_BIG);
	n = deflate_message(z, 65536, zeros, len - 1);
	assert_int_equal(feed_compressed(&o, z, n), WS_MORE);
	free(zeros);
	free(z);
}

static void rsv1_is_only_for_the_first_frame_of_compressed_messages(void **state)
{
	static const struct {
		unsigned int first, second;
		bool deflate;
	} table[] = { { 0xc1, 0, false }, { 0x41, 0xc0, true }, { 0xc9, 0, true },
		{ 0xa1, 0, true }, { 0xe1, 0, true } };

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct ws_parser p;
		struct outcome o;
		struct buf in;

		buf_init(&in, 256);
		add_frame(&in, table[i].first, "a", 1);
		if (table[i].second)
			add_frame(&in, table[i].second, "a", 1);
		ws_parser_init(&p, table[i].deflate, false);
		feed(&p, &o, buf_head(&in), in.len, in.len);
		assert_int_equal(o.r, -EBADMSG);
		assert_non_null(strstr(o.item.why, "RSV bits"));
		buf_done(&o.passed);
		ws_parser_done(&p);
		buf_done(&in);
	}
}

static void too_many_fragments_are_refused(void **state)
{
	struct ws_parser p;
	struct outcome o;
	struct buf in;

	(void)state;
	buf_init(&in, 65536);
	add_frame(&in, 0x01, "", 0);
	for (int i = 1; i <= WS_FRAGMENTS_MAX; i++)
		add_frame(&in, 0x00, "", 0);
	ws_parser_init(&p, false, false);
	feed(&p, &o, buf_head(&in), in.len - 6, in.len);
	assert_int_equal(o.r, WS_MORE);
	assert_true(ws_is_assembling(&p));
	buf_done(&o.passed);
	feed(&p, &o, buf_head(&in) + in.len - 6, 6, 6);
	assert_int_equal(o.r, -EBADMSG);
	assert_int_equal(o.item.close, WS_CLOSE_PROTOCOL);
	buf_done(&o.passed);
	ws_parser_done(&p);
	buf_done(&in);
}

static void control_frames_are_held_to_their_rules(void **state)
{
	static const struct {
		uint8_t bytes[8];
		size_t len;
		const char *why;
	} table[] = {
		{ { 0x09, 0x80, 1, 2, 3, 4 }, 6, "fragmented" },
		{ { 0x89, 0xfe, 0x00, 0x7e, 1, 2, 3, 4 }, 8, "125 bytes" },
		{ { 0x88, 0x81, 0, 0, 0, 0, 3 }, 7, "one byte" },
		{ { 0x8b, 0x80, 0, 0, 0, 0 }, 6, "reserved opcode" },
		{ { 0x83, 0x80, 0, 0, 0, 0 }, 6, "reserved opcode" },
		{ { 0x80, 0x80, 0, 0, 0, 0 }, 6, "continuation" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct ws_parser p;
		struct outcome o;

		ws_parser_init(&p, false, false);
		feed(&p, &o, table[i].bytes, table[i].len, 1);
		assert_int_equal(o.r, -EBADMSG);
		assert_non_null(strstr(o.item.why, table[i].why));
		buf_done(&o.passed);
		ws_parser_done(&p);
	}
}

static void written_frames_are_read_back(void **state)
{
	static const size_t sizes[] = { 0, 1, 125, 126, 65535, 65536, 70001 };
	char *payload = malloc(70001);

	(void)state;
	memset(payload, 'x', 70001);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct ws_parser p;
		struct ws_item item;
		struct buf in;
		size_t used;

		buf_init(&in, 100000);
		assert_int_equal(ws_write_frame(&in, WS_TEXT, payload, sizes[i], mask), 0);
		ws_parser_init(&p, false, false);
		assert_int_equal(ws_next(&p, buf_head(&in), in.len, &used, &item), WS_MESSAGE);
		assert_int_equal(used, in.len);
		assert_int_equal(item.len, sizes[i]);
		assert_memory_equal(item.data, payload, sizes[i]);
		ws_parser_done(&p);
		buf_done(&in);
	}
	free(payload);
}

static void close_frames_carry_code_and_reason(void **state)
{
	char reason[200];
	struct buf out;

	(void)state;
	buf_init(&out, 256);
	assert_int_equal(ws_write_close(&out, WS_CLOSE_POLICY, "no", NULL), 0);
	assert_int_equal(out.len, 6);
	assert_memory_equal(buf_head(&out), "\x88\x04\x03\xf0no", 6);
	buf_reset(&out);
	for (size_t i = 0; i < sizeof(reason) - 1; i += 2)
		memcpy(reason + i, "\xc3\xa9", 2);
	reason[198] = '\0';
	assert_int_equal(ws_write_close(&out, WS_CLOSE_POLICY, reason, NULL), 0);
	assert_int_equal(out.len, 2 + 2 + 122);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_frame_of_the_table_is_judged),
		cmocka_unit_test(text_and_raw_frames_interleave),
		cmocka_unit_test(compressed_messages_are_inflated),
		cmocka_unit_test(malformed_compression_is_refused),
		cmocka_unit_test(a_bomb_stops_at_the_limit),
		cmocka_unit_test(rsv1_is_only_for_the_first_frame_of_compressed_messages),
		cmocka_unit_test(too_many_fragments_are_refused),
		cmocka_unit_test(control_frames_are_held_to_their_rules),
		cmocka_unit_test(written_frames_are_read_back),
		cmocka_unit_test(close_frames_carry_code_and_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
