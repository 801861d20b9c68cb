/*
 * filtergen - writes the seccomp programs of tracer/filter.c as C, at build time.
 *
 * Building them takes libseccomp half a millisecond, a tenth of what a sandbox may take to start,
 * and they depend on the architecture, the backend and two flags alone.
 */
#include <linux/filter.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/cleanup.h"
#include "lib/err.h"
#include "tracer/filter.h"

static int write_one(const char *name, const struct filter_options *o)
{
	auto_free void *code = NULL;
	const struct sock_filter *f;
	size_t len;
	int r = filter_build(o, &code, &len);

	if (r < 0) {
		(void)fprintf(stderr, "filtergen: %s: %s\n", name, err_name(r));
		return r;
	}
	f = code;
	(void)printf("const struct sock_filter %s[] = {\n", name);
	for (size_t i = 0; i < len / sizeof(*f); i++)
		(void)printf("\t{ 0x%04x, %u, %u, 0x%08x },\n", f[i].code, f[i].jt, f[i].jf, f[i].k);
	(void)printf("};\nconst size_t %s_len = sizeof(%s);\n", name, name);
	return 0;
}

int main(void)
{
	static const struct {
		const char *name;
		struct filter_options o;
	} programs[] = {
		{ "filter_usual", { 0 } },
		{ "filter_nesting", { .allow_user_namespaces = true } },
		{ "filter_usual_cooperative", { .is_cooperative = true } },
		{ "filter_nesting_cooperative", { .allow_user_namespaces = true, .is_cooperative = true } },
		{ "filter_usual_writes", { .asks_writes = true } },
		{ "filter_nesting_writes", { .allow_user_namespaces = true, .asks_writes = true } },
		{ "filter_usual_traced", { .is_traced = true } },
		{ "filter_nesting_traced", { .allow_user_namespaces = true, .is_traced = true } },
		{ "filter_usual_writes_traced", { .asks_writes = true, .is_traced = true } },
		{ "filter_nesting_writes_traced",
			{ .allow_user_namespaces = true, .asks_writes = true, .is_traced = true } },
	};
	int r = 0;

	(void)printf("/* Written by filtergen. */\n#include \"tracer/filter_code.h\"\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(programs) && r == 0; i++)
		r = write_one(programs[i].name, &programs[i].o);
	return r < 0;
}
