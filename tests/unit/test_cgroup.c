#include "tracer/cgroup.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/spec.h"
#include "lib/str.h"

static char root[64], self[80];

static void put(const char *path, const char *text)
{
	char full[256];
	FILE *f;

	(void)snprintf(full, sizeof(full), "%s/%s", root, path);
	f = fopen(full, "w");
	assert_non_null(f);
	(void)fputs(text, f);
	(void)fclose(f);
}

static void expect(const char *path, const char *text)
{
	char full[256], got[128] = "";
	FILE *f;

	(void)snprintf(full, sizeof(full), "%s/%s", root, path);
	f = fopen(full, "r");
	assert_non_null(f);
	(void)!fread(got, 1, sizeof(got) - 1, f);
	(void)fclose(f);
	assert_string_equal(got, text);
}

/* user.slice/app.slice/term.scope, of which app.slice is ours and has both controllers. */
static int make_tree(void **state)
{
	char dir[128];

	(void)state;
	(void)strcpy(root, "/tmp/openshell-cgroup.XXXXXX");
	if (!mkdtemp(root))
		return -1;
	(void)snprintf(self, sizeof(self), "%s/self", root);
	(void)snprintf(dir, sizeof(dir), "%s/app.slice", root);
	(void)mkdir(dir, 0700);
	(void)snprintf(dir, sizeof(dir), "%s/app.slice/term.scope", root);
	(void)mkdir(dir, 0700);
	put("self", "9:cpu:/x\n0::/app.slice/term.scope\n");
	put("app.slice/cgroup.procs", "");
	put("app.slice/cgroup.controllers", "cpu memory pids\n");
	put("app.slice/cgroup.subtree_control", "");
	return 0;
}

static int remove_tree(void **state)
{
	char command[128];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", root);
	return system(command);
}

static void the_limits_are_set_in_a_sibling_of_our_own_cgroup(void **state)
{
	struct cgroup c = { 0 };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(cgroup_make(&c, root, self, "demo", 1500, 0, &err), 0);
	assert_int_equal(cgroup_make(&c, root, self, "demo", 1500, 0, &err), 0);
	expect("app.slice/openshell-demo/cpu.max", "150000 100000");
	expect("app.slice/cgroup.subtree_control", "+cpu");
	assert_int_equal(cgroup_add(&c, 4711, &err), 0);
	expect("app.slice/openshell-demo/cgroup.procs", "4711");
}

static void memory_alone_is_limited_without_swap(void **state)
{
	struct cgroup c = { 0 };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(cgroup_make(&c, root, self, "demo", 0, 1 << 20, &err), 0);
	expect("app.slice/openshell-demo/memory.max", "1048576");
	expect("app.slice/openshell-demo/memory.swap.max", "0");
}

static void without_the_controller_it_is_refused_with_a_remedy(void **state)
{
	struct cgroup c = { 0 };
	struct err err = { 0 };

	(void)state;
	put("app.slice/cgroup.controllers", "pids\n");
	assert_int_equal(cgroup_make(&c, root, self, "demo", 1500, 0, &err), -ENOTSUP);
	assert_non_null(strstr(err.text, "delegated"));
	assert_non_null(strstr(err.hint, "systemd-run"));
	assert_int_equal(c.path[0], 0);
}

static void without_a_unified_hierarchy_it_is_refused(void **state)
{
	struct cgroup c = { 0 };
	struct err err = { 0 };

	(void)state;
	put("self", "9:cpu:/x\n");
	assert_int_equal(cgroup_make(&c, root, self, "demo", 0, 1, &err), -ENOTSUP);
}

static void quantities_are_read_as_kubernetes_does(void **state)
{
	static const struct {
		const char *text;
		bool is_cpu;
		uint64_t value; /* 0: refused */
	} cases[] = {
		{ "500m", true, 500 },
		{ "2", true, 2000 },
		{ "2.5", true, 2500 },
		{ "0.001", true, 1 },
		{ "0", true, 0 },
		{ "2.0001", true, 0 },
		{ "-1", true, 0 },
		{ "1x", true, 0 },
		{ "", true, 0 },
		{ "1.", true, 0 },
		{ ".5", true, 0 },
		{ "99999999999999999999", true, 0 },
		{ "512Mi", false, 512ULL << 20 },
		{ "4Gi", false, 4ULL << 30 },
		{ "8G", false, 8000000000 },
		{ "64K", false, 0 },
		{ "64k", false, 64000 },
		{ "65536", false, 65536 },
		{ "1Ti", false, 1ULL << 40 },
		{ "1mi", false, 0 },
		{ "1.5Gi", false, 0 },
		{ "99999999999Ti", false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err = { 0 };
		uint64_t v = 0;
		int r = cases[i].is_cpu ? spec_cpu_parse(cases[i].text, &v, &err)
					: spec_memory_parse(cases[i].text, &v, &err);

		if (r != (cases[i].value ? 0 : -EINVAL) || v != cases[i].value)
			fail_msg("%s: %d %llu", cases[i].text, r, (unsigned long long)v);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			the_limits_are_set_in_a_sibling_of_our_own_cgroup, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(
			memory_alone_is_limited_without_swap, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(
			without_the_controller_it_is_refused_with_a_remedy, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(
			without_a_unified_hierarchy_it_is_refused, make_tree, remove_tree),
		cmocka_unit_test(quantities_are_read_as_kubernetes_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
