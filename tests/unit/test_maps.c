#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "tracer/maps.h"

static void lines_become_mappings(void **state)
{
	char text[] = "55d0c0000000-55d0c0021000 r-xp 00002000 fd:01 1835 /usr/bin/a b\n"
		      "7ffc1000-7ffc2000 rw-p 00000000 00:00 0 \n"
		      "7ffd0000-7ffd1000 ---p 0 00:00 0\n"
		      "7fff0000-7fff1000 r-xp 00000000 00:00 0                          [vdso]\n";
	char *p = text;
	struct map m;

	(void)state;
	assert_int_equal(maps_next(&p, &m), 1);
	assert_true(m.start == 0x55d0c0000000 && m.end == 0x55d0c0021000 && m.offset == 0x2000);
	assert_true(m.inode == 1835 && m.is_readable && m.is_executable);
	assert_string_equal(m.path, "/usr/bin/a b");
	assert_int_equal(maps_next(&p, &m), 1);
	assert_string_equal(m.path, "");
	assert_false(m.is_executable);
	assert_int_equal(maps_next(&p, &m), 1);
	assert_false(m.is_readable);
	assert_int_equal(maps_next(&p, &m), 1);
	assert_string_equal(m.path, "[vdso]");
	assert_int_equal(maps_next(&p, &m), 0);
}

static void malformed_lines_are_refused(void **state)
{
	static const char *const bad[] = { "\n", "x", "1-2", "1-2 r-xp", "2-1 r-xp 0 0:0 0",
		"1-1 r-xp 0 0:0 0", "1-2 r-x 0 0:0 0", "1-2 r-xp g 0:0 0", "1-2 r-xp 0 0 0",
		"1-2 r-xp 0 0:0 x", "11111111111111111-2 r-xp 0 0:0 0", "-1-2 r-xp 0 0:0 0",
		"1-2 r-xp 0 0:0 0x" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char text[64], *p = text;
		struct map m;

		(void)snprintf(text, sizeof(text), "%s", bad[i]);
		if (maps_next(&p, &m) != -EINVAL)
			fail_msg("accepted: %s", bad[i]);
	}
}

static void own_maps_read_whole(void **state)
{
	auto_free char *text = NULL;
	uintptr_t here = (uintptr_t)own_maps_read_whole;
	bool is_found = false;
	struct map m;
	char *p;
	int r;

	(void)state;
	assert_int_equal(fd_slurp_at(AT_FDCWD, "/proc/self/maps", 1 << 20, &text, NULL), 0);
	p = text;
	while ((r = maps_next(&p, &m)) > 0)
		is_found =
			is_found || (m.is_executable && m.inode && here >= m.start && here < m.end);
	assert_int_equal(r, 0);
	assert_true(is_found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_become_mappings),
		cmocka_unit_test(malformed_lines_are_refused),
		cmocka_unit_test(own_maps_read_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
