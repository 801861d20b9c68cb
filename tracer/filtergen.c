/*
 * filtergen - writes the seccomp programs of tracer/filter.c as C, at build time.
 *
 * Building them takes libseccomp half a millisecond, a tenth of what a sandbox may take to start,
 * and they depend on the architecture and the policy's one flag alone.
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
	const struct filter_options usual = { 0 }, nesting = { .allow_user_namespaces = true };

	(void)printf("/* Written by filtergen. */\n#include \"tracer/filter_code.h\"\n\n");
	return write_one("filter_usual", &usual) < 0 || write_one("filter_nesting", &nesting) < 0;
}
