/* A path that is recognised is canonical, and a body whose model was replaced is read alike by everybody. */
#include <assert.h>
#include <jansson.h>
#include <stdint.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/inference.h"

static void look_at_target(const char *s, size_t len)
{
	const struct inference_pattern *p = inference_match("POST", s, len);
	auto_buf struct buf out;

	buf_init(&out, 4 * len + 4096);
	if (!p)
		p = inference_match("GET", s, len);
	if (!p)
		return;
	for (int style = 0; style < INFERENCE_STYLES; style++)
		if (p->styles & (1u << style))
			assert(inference_path(&out, (enum inference_style)style, "/v1", "m/x", s, len) == 0);
	assert(buf_cstr(&out) && strlen(buf_cstr(&out)) == out.len);
	assert(!strstr(buf_cstr(&out), "/../") && !strpbrk(buf_cstr(&out), " \r\n"));
}

static void look_at_body(const char *s, size_t len)
{
	auto_buf struct buf out, again;
	const char *why = NULL;
	json_t *was, *is;

	buf_init(&out, len + 4096);
	buf_init(&again, len + 4096);
	if (inference_set_model(&out, s, len, "m", &why) < 0)
		return;
	was = json_loadb(s, len, 0, NULL);
	is = json_loadb(buf_head(&out), out.len, JSON_REJECT_DUPLICATES, NULL);
	assert(was && is && strcmp(json_string_value(json_object_get(is, "model")), "m") == 0);
	json_object_set_new(was, "model", json_string("m"));
	assert(json_equal(was, is));
	json_decref(was);
	json_decref(is);
	assert(inference_set_model(&again, buf_head(&out), out.len, "m", &why) == 0);
	assert(again.len == out.len && memcmp(buf_head(&again), buf_head(&out), out.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	look_at_target((const char *)data, size);
	look_at_body((const char *)data, size);
	return 0;
}
