/* The launcher's pure parts: paths, guesses about secrets, versions, settings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "launcher/cli.h"
#include "launcher/config.h"
#include "launcher/credential.h"
#include "launcher/doctor.h"
#include "launcher/forward.h"
#include "launcher/paths.h"
#include "launcher/transfer.h"
#include "lib/cleanup.h"
#include "lib/state.h"
#include "lib/str.h"
#include "lib/strv.h"

/* The table belongs to main.c, which tests do not link. */
const struct cli_command cli_root = { .name = "openshell" };

static void paths_become_absolute_by_text(void **state)
{
	static const char *const cases[][3] = {
		{ "/w", "a", "/w/a" },
		{ "/w", "/a//b/./c", "/a/b/c" },
		{ "/w/x", "../y", "/w/y" },
		{ "/w", "../../..", "/" },
		{ "/w", "", "/w" },
		{ "/", "a/", "/a" },
		{ "/w", "..a/.b/...", "/w/..a/.b/..." },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_free char *got = path_join(cases[i][0], cases[i][1]);

		assert_string_equal(got, cases[i][2]);
	}
}

static void the_home_directory_is_not_granted_by_accident(void **state)
{
	(void)state;
	assert_int_equal(path_workdir_judge("/home/u/p", "/home/u"), PATH_WORKDIR_OK);
	assert_int_equal(path_workdir_judge("/home/u", "/home/u"), PATH_WORKDIR_HOME);
	assert_int_equal(path_workdir_judge("/home", "/home/u"), PATH_WORKDIR_HOME);
	assert_int_equal(path_workdir_judge("/home/us", "/home/user"), PATH_WORKDIR_OK);
	assert_int_equal(path_workdir_judge("/", "/home/u"), PATH_WORKDIR_ROOT);
	assert_int_equal(path_workdir_judge("/srv", NULL), PATH_WORKDIR_OK);
	assert_int_equal(path_workdir_judge("(unreachable)/x", "/home/u"), PATH_WORKDIR_GONE);
	assert_int_equal(path_workdir_judge(NULL, NULL), PATH_WORKDIR_GONE);
	assert_int_equal(path_workdir_judge("/tmp", "/home/u"), PATH_WORKDIR_OWN);
	assert_int_equal(path_workdir_judge("/tmp/p", "/home/u"), PATH_WORKDIR_OK);
	assert_int_equal(path_workdir_judge("/dev/shm/p", "/home/u"), PATH_WORKDIR_OWN);
}

static void likely_secrets_are_noticed(void **state)
{
	static const char *const yes[] = { "X=ghp_0123456789abcdef", "X=sk-ant-0123456789",
		"GITHUB_TOKEN=0123456789abcdef", "MY_API_KEY=0123456789abcdef" };
	static const char *const no[] = { "X=", "X=hello", "TOKEN=short", "PATH=/usr/bin:/bin",
		"GITHUB_TOKEN=openshell:resolve:env:GITHUB_TOKEN", "NODE_ENV=production" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
		assert_true(credential_is_likely(yes[i]));
	for (size_t i = 0; i < ARRAY_SIZE(no); i++)
		assert_false(credential_is_likely(no[i]));
}

static void bubblewrap_versions_are_read(void **state)
{
	(void)state;
	assert_int_equal(doctor_bwrap_version("bubblewrap 0.8.0"), 800);
	assert_int_equal(doctor_bwrap_version("bubblewrap 0.11.1\n"), 1101);
	assert_int_equal(doctor_bwrap_version("bubblewrap 1.2"), 10200);
	assert_int_equal(doctor_bwrap_version("bubblewrap"), -1);
	assert_int_equal(doctor_bwrap_version("bwrap 0.8.0"), -1);
	assert_int_equal(doctor_bwrap_version(""), -1);
}

static void forwarded_ports_are_read(void **state)
{
	static const char *const bad[] = { "", "abc", "65536", "0.0.0.0:0", ":80", "[]:80",
		"example.com:80", "1.2.3.4:", "80:", "-1" };
	struct forward_spec f;

	(void)state;
	assert_int_equal(forward_parse("8080", &f, NULL), 0);
	assert_string_equal(f.bind, "127.0.0.1");
	assert_int_equal(f.port, 8080);
	assert_int_equal(forward_parse("0.0.0.0:8080", &f, NULL), 0);
	assert_string_equal(f.bind, "0.0.0.0");
	assert_int_equal(forward_parse("[::1]:65535", &f, NULL), 0);
	assert_string_equal(f.bind, "::1");
	assert_int_equal(f.port, 65535);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err err = { 0 };

		assert_int_equal(forward_parse(bad[i], &f, &err), -EINVAL);
		assert_true(err.text[0]);
	}
}

static void what_is_copied_has_a_name(void **state)
{
	static const char *const cases[][2] = { { "/a/b", "b" }, { "a", "a" }, { "/a/b//", "b" },
		{ "/", NULL }, { "", NULL }, { "..", NULL }, { "a/..", NULL }, { "./", NULL },
		{ "...", "..." } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_free char *name = transfer_basename(cases[i][0]);

		assert_true(str_eq(name, cases[i][1]));
	}
}

/* --- settings --- */

static char base[64];

static int set_up(void **state)
{
	char path[128];

	(void)state;
	(void)str_copy(base, sizeof(base), "/tmp/openshell-test-config-XXXXXX");
	if (!mkdtemp(base))
		return -1;
	(void)setenv("XDG_CONFIG_HOME", base, 1);
	(void)str_format(path, sizeof(path), "%s/openshell", base);
	return mkdir(path, 0700);
}

static int tear_down(void **state)
{
	(void)state;
	(void)unsetenv("OPENSHELL_CONNECT_TO");
	(void)unsetenv("OPENSHELL_NO_PROXY");
	return state_tree_remove(AT_FDCWD, base);
}

static void write_config(const char *text)
{
	char path[128];
	FILE *f;

	(void)str_format(path, sizeof(path), "%s/openshell/config.yaml", base);
	f = fopen(path, "w");
	assert_non_null(f);
	(void)fputs(text, f);
	(void)fclose(f);
}

static void flags_win_over_variables_over_the_file(void **state)
{
	auto_config struct config c = { 0 };

	(void)state;
	write_config("connect_to: [c:1:127.0.0.1:1, d:1:127.0.0.1:1]\n"
		     "no_proxy: [x, y]\nupstream_ca: /file.pem\n");
	(void)setenv("OPENSHELL_CONNECT_TO", " b:1:127.0.0.1:1  b2:1:127.0.0.1:1 ", 1);
	(void)setenv("OPENSHELL_NO_PROXY", "z", 1);
	assert_int_equal(strv_push(&c.connect_to, "a:1:127.0.0.1:1"), 0);
	assert_int_equal(config_complete(&c, NULL), 0);
	assert_int_equal(strv_len(c.connect_to), 5);
	assert_string_equal(c.connect_to[0], "a:1:127.0.0.1:1");
	assert_string_equal(c.connect_to[2], "b2:1:127.0.0.1:1");
	assert_string_equal(c.connect_to[4], "d:1:127.0.0.1:1");
	assert_string_equal(c.no_proxy, "z");
	assert_string_equal(c.upstream_ca, "/file.pem");
	assert_null(c.upstream_proxy);
}

static void a_list_of_hosts_is_joined(void **state)
{
	auto_config struct config c = { 0 };

	(void)state;
	write_config("no_proxy:\n  - a.test\n  - .b.test\n");
	assert_int_equal(config_complete(&c, NULL), 0);
	assert_string_equal(c.no_proxy, "a.test,.b.test");
}

static void no_settings_are_no_error(void **state)
{
	auto_config struct config c = { 0 };

	(void)state;
	assert_int_equal(config_complete(&c, NULL), 0);
	write_config("");
	assert_int_equal(config_complete(&c, NULL), 0);
	assert_null(c.connect_to);
}

static void bad_settings_are_named_with_their_line(void **state)
{
	static const char *const cases[][2] = {
		{ "connect_tow: x\n", "config.yaml:1:1: unknown key 'connect_tow' (did you mean "
				      "'connect_to'?)" },
		{ "upstream_ca: [a]\n", "config.yaml:1:14: upstream_ca: expected a string" },
		{ "- a\n", "config.yaml" },
		{ "a: [\n", "config.yaml" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_config struct config c = { 0 };
		struct err err = { 0 };

		write_config(cases[i][0]);
		assert_int_equal(config_complete(&c, &err), -EINVAL);
		if (!strstr(err.text, cases[i][1]))
			fail_msg("'%s' lacks '%s'", err.text, cases[i][1]);
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_become_absolute_by_text),
		cmocka_unit_test(the_home_directory_is_not_granted_by_accident),
		cmocka_unit_test(likely_secrets_are_noticed),
		cmocka_unit_test(bubblewrap_versions_are_read),
		cmocka_unit_test(forwarded_ports_are_read),
		cmocka_unit_test(what_is_copied_has_a_name),
		T(flags_win_over_variables_over_the_file),
		T(a_list_of_hosts_is_joined),
		T(no_settings_are_no_error),
		T(bad_settings_are_named_with_their_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
