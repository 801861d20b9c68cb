/* What comes out of a rewrite holds no placeholder and no secret that was not for this request. */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/placeholder.h"

static int find(void *arg, const char *key, size_t len, const char **ret, size_t *ret_len)
{
	(void)arg;
	if (len == 1 && *key == 'F')
		return -EACCES;
	if (len != 1 || *key != 'T')
		return -ENOKEY;
	*ret = "s3cr3t";
	*ret_len = 6;
	return 0;
}

typedef int rewrite_fn(struct placeholder_source *, const char *, size_t, struct buf *);

static void run(rewrite_fn *fn, const char *text, size_t len)
{
	struct placeholder_source src = { find, NULL, 0 };
	auto_buf struct buf out;

	buf_init(&out, 16 * len + 4096);
	if (fn(&src, text, len, &out) == 0 && fn == placeholder_text)
		assert(!memmem(buf_head(&out), out.len, "openshell:resolve:env:", 22) || src.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;

	run(placeholder_value, text, size);
	run(placeholder_target, text, size);
	run(placeholder_head, text, size);
	run(placeholder_text, text, size);
	run(placeholder_form, text, size);
	(void)placeholder_is_in(text, size);
	return 0;
}
