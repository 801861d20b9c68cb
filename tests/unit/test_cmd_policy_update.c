#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/cmd.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/state.h"
#include "lib/str.h"

/* The program's own is in main.c, which no test links. */
const struct cli_command cli_root = { .name = "openshell" };

static char base[64];
static struct state *demo;

static const char github[] = "version: 1\n"
			     "network_policies:\n"
			     "  github_api:\n"
			     "    endpoints:\n"
			     "      - host: api.github.com\n"
			     "        port: 443\n"
			     "        protocol: rest\n"
			     "        enforcement: enforce\n"
			     "        access: read-only\n"
			     "    binaries:\n"
			     "      - path: /usr/bin/curl\n";

static int set_up(void **state)
{
	struct sandbox_spec spec = { .name = (char *)(uintptr_t) "demo", .keep = true };
	struct state_revision rev = { .version = 1, .origin = "create", .status = "loaded" };

	(void)state;
	(void)str_copy(base, sizeof(base), "/tmp/openshell-test-update-XXXXXX");
	assert_non_null(mkdtemp(base));
	(void)setenv("XDG_STATE_HOME", base, 1);
	(void)setenv("XDG_CONFIG_HOME", base, 1);
	(void)setenv("XDG_RUNTIME_DIR", base, 1);
	assert_int_equal(state_create(&demo, &spec, NULL), 0);
	return state_revision_write(demo, &rev, github, strlen(github));
}

static int tear_down(void **state)
{
	(void)state;
	state_close(demo);
	return state_tree_remove(AT_FDCWD, base);
}

/* openshell policy update with these words; what it printed is the caller's. */
static int update(char **ret_output, const char *words)
{
	const struct cli_command cmd = {
		.name = "update", .options = cmd_policy_update_options, .max_args = 1
	};
	auto_close int saved = dup(STDOUT_FILENO);
	auto_free char *copy = strdup(words);
	char *argv[16] = { (char *)(uintptr_t) "update" }, path[] = "/tmp/openshell-out-XXXXXX";
	int argc = 1, status, out = mkstemp(path);

	for (char *w = strtok(copy, " "); w; w = strtok(NULL, " "))
		argv[argc++] = w;
	(void)unlink(path);
	(void)fflush(stdout);
	(void)dup2(out, STDOUT_FILENO);
	status = cmd_policy_update(&cmd, argc, argv);
	(void)fflush(stdout);
	(void)dup2(saved, STDOUT_FILENO);
	assert_int_equal(fd_slurp(out, 1 << 20, ret_output, NULL), 0);
	(void)close(out);
	return status;
}

static void a_dry_run_prints_what_would_come_out(void **state)
{
	auto_free char *out = NULL;

	(void)state;
	assert_int_equal(
		update(&out, "demo --dry-run --add-allow api.github.com:443:post:/x"), CLI_OK);
	assert_non_null(strstr(out, "method: POST\n"));
	assert_int_equal(state_revision_last(demo), 1);
}

static void nothing_to_change_is_no_new_revision(void **state)
{
	auto_free char *out = NULL;

	(void)state;
	assert_int_equal(update(&out, "demo --remove-rule nobody"), CLI_OK);
	assert_int_equal(state_revision_last(demo), 1);
}

static void a_wrong_command_line_is_a_usage_error(void **state)
{
	static const char *const lines[] = { "demo", "demo --add-endpoint pkgs.example.com:443",
		"demo --rule-name x --add-allow h:443:GET:/", "demo --binary /usr/bin/curl" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		auto_free char *out = NULL;

		assert_int_equal(update(&out, lines[i]), CLI_USAGE);
	}
}

static void what_would_not_validate_changes_nothing(void **state)
{
	static const char *const lines[] = { "demo --add-allow other.example:443:GET:/x",
		"demo --add-endpoint h:443:read-only:sql:enforce --binary /usr/bin/psql",
		"demo --add-endpoint *:443 --binary /usr/bin/curl" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		auto_free char *out = NULL;

		assert_int_equal(update(&out, lines[i]), CLI_FAILED);
	}
	assert_int_equal(state_revision_last(demo), 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_dry_run_prints_what_would_come_out),
		TEST(nothing_to_change_is_no_new_revision),
		TEST(a_wrong_command_line_is_a_usage_error),
		TEST(what_would_not_validate_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
