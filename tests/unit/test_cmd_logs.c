#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/cmd.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/logstore.h"
#include "lib/state.h"
#include "lib/str.h"

/* The program's own is in main.c, which no test links. */
const struct cli_command cli_root = { .name = "openshell" };

static char base[64];
static struct state *demo;
static struct logstore *store;

static int set_up(void **state)
{
	struct sandbox_spec spec = { .name = (char *)(uintptr_t) "demo", .keep = true };
	auto_close int dir = -1;

	(void)state;
	(void)str_copy(base, sizeof(base), "/tmp/openshell-test-logs-XXXXXX");
	assert_non_null(mkdtemp(base));
	(void)setenv("XDG_STATE_HOME", base, 1);
	(void)setenv("XDG_CONFIG_HOME", base, 1);
	(void)setenv("XDG_RUNTIME_DIR", base, 1);
	assert_int_equal(state_create(&demo, &spec, NULL), 0);
	dir = state_subdir(demo, "log");
	return logstore_open(&store, dir, event_now_ms(), NULL);
}

static int tear_down(void **state)
{
	(void)state;
	logstore_free(store);
	state_close(demo);
	return state_tree_remove(AT_FDCWD, base);
}

static void put_event(uint64_t age_ms, enum event_level level, const char *host)
{
	struct log *log = log_new(logstore_open_writer(store));
	struct event e = {
		.time_ms = event_now_ms() - age_ms,
		.level = level,
		.adapter = EVENT_CONNECT,
		.action = level == EVENT_WARN ? EVENT_DENY : EVENT_ALLOW,
		.host = host,
		.port = 443,
	};

	log_event(log, &e);
	assert_int_equal(log_flush(log), 0);
	log_free(log);
}

/* openshell logs with these words; what it printed is the caller's, the status comes back. */
static int logs(char **ret_output, const char *words)
{
	const struct cli_command cmd = {
		.name = "logs", .options = cmd_logs_options, .max_args = 1
	};
	auto_close int saved = dup(STDOUT_FILENO);
	auto_free char *copy = strdup(words);
	char *argv[16] = { (char *)(uintptr_t) "logs" }, path[] = "/tmp/openshell-out-XXXXXX";
	int argc = 1, status, out = mkstemp(path);

	for (char *w = strtok(copy, " "); w; w = strtok(NULL, " "))
		argv[argc++] = w;
	(void)unlink(path);
	(void)fflush(stdout);
	(void)dup2(out, STDOUT_FILENO);
	status = cmd_logs(&cmd, argc, argv);
	(void)fflush(stdout);
	(void)dup2(saved, STDOUT_FILENO);
	assert_int_equal(fd_slurp(out, 1 << 20, ret_output, NULL), 0);
	(void)close(out);
	return status;
}

static void expect_hosts(const char *words, const char *in, const char *not_in)
{
	auto_free char *out = NULL;

	assert_int_equal(logs(&out, words), CLI_OK);
	if (in && !strstr(out, in))
		fail_msg("'%s' is not in: %s", in, out);
	if (not_in && strstr(out, not_in))
		fail_msg("'%s' is in: %s", not_in, out);
}

static void since_level_number_and_source_select(void **state)
{
	(void)state;
	put_event(3600000, EVENT_WARN, "old.example");
	put_event(2000, EVENT_INFO, "fine.example");
	put_event(1000, EVENT_WARN, "bad.example");
	expect_hosts("demo", "dst_host=old.example", NULL);
	expect_hosts("demo --since 5m", "dst_host=fine.example", "old.example");
	expect_hosts("demo --since 5m --level warn", "action=deny dst_host=bad.example", "fine");
	expect_hosts("demo -n 1", "bad.example", "fine.example");
	expect_hosts("demo --source gateway", NULL, "example");
	expect_hosts("demo --source connect", "bad.example", NULL);
	expect_hosts("demo --source gateway --source sandbox", "bad.example", NULL);
}

static void every_format_is_printed(void **state)
{
	(void)state;
	put_event(0, EVENT_WARN, "bad.example");
	expect_hosts("demo --format text", " WARN [CONNECT] action=deny ", NULL);
	expect_hosts("demo --format shorthand", "] NET:OPEN [MED] DENIED bad.example:443", NULL);
	expect_hosts("demo --format json", "\"class_uid\":4001", NULL);
	expect_hosts("demo -o json", "\"domain\":\"bad.example\"", NULL);
	expect_hosts("demo -o yaml", "class_uid: 4001", "{");
	expect_hosts("demo", "bad.example", "\033");
}

static void a_wrong_command_line_is_a_usage_error(void **state)
{
	static const char *const lines[] = { "demo --since yesterday", "demo -n many",
		"demo --level loud", "demo --source nowhere", "demo --format xml",
		"demo --format json -o yaml", "demo --tail -o yaml", "demo more" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		auto_free char *out = NULL;

		assert_int_equal(logs(&out, lines[i]), CLI_USAGE);
		assert_string_equal(out, "");
	}
}

static void the_last_used_sandbox_is_meant_without_a_name(void **state)
{
	auto_free char *out = NULL;

	(void)state;
	assert_int_equal(logs(&out, ""), CLI_FAILED);
	state_last_used_set("demo");
	put_event(0, EVENT_WARN, "bad.example");
	expect_hosts("", "bad.example", NULL);
}

static void the_log_of_a_gone_sandbox_is_readable_and_tailing_it_ends(void **state)
{
	auto_free char *out = NULL;

	(void)state;
	put_event(0, EVENT_WARN, "bad.example");
	assert_int_equal(state_remove(demo, NULL), 0);
	expect_hosts("demo", "bad.example", NULL);
	expect_hosts("demo --tail", "bad.example", NULL);
	assert_int_equal(logs(&out, "other"), CLI_FAILED);
}

/* The child tails into a pipe; what comes out there paces the test. */
static void expect_from(int fd, const char *text)
{
	struct pollfd poller = { .fd = fd, .events = POLLIN };
	char seen[8192] = "";
	size_t n = 0;

	while (!strstr(seen, text)) {
		ssize_t got;

		assert_int_equal(poll(&poller, 1, 10000), 1);
		got = read(fd, seen + n, sizeof(seen) - 1 - n);
		assert_true(got > 0);
		n += (size_t)got;
		seen[n] = '\0';
	}
}

static void tailing_shows_news_and_ends_with_the_sandbox(void **state)
{
	int ends[2], status;
	pid_t child;

	(void)state;
	put_event(0, EVENT_WARN, "first.example");
	assert_int_equal(pipe(ends), 0);
	child = fork();
	if (child == 0) {
		const struct cli_command cmd = {
			.name = "logs", .options = cmd_logs_options, .max_args = 1
		};
		char *argv[] = { (char *)(uintptr_t) "logs", (char *)(uintptr_t) "demo",
			(char *)(uintptr_t) "--tail", NULL };

		(void)dup2(ends[1], STDOUT_FILENO);
		(void)close(ends[1]);
		_exit(cmd_logs(&cmd, 3, argv));
	}
	(void)close(ends[1]);
	expect_from(ends[0], "first.example");
	put_event(0, EVENT_INFO, "second.example");
	expect_from(ends[0], "second.example");
	assert_int_equal(state_remove(demo, NULL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	(void)close(ends[0]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(since_level_number_and_source_select),
		TEST(every_format_is_printed),
		TEST(a_wrong_command_line_is_a_usage_error),
		TEST(the_last_used_sandbox_is_meant_without_a_name),
		TEST(the_log_of_a_gone_sandbox_is_readable_and_tailing_it_ends),
		TEST(tailing_shows_news_and_ends_with_the_sandbox),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
