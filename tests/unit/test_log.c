#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include <jansson.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/log.h"

enum { T0 = 1000000 };

static int temp_file(int flags)
{
	char path[] = "/tmp/test_log_XXXXXX";
	auto_close int made = mkstemp(path);
	int fd = open(path, O_RDWR | O_CLOEXEC | flags);

	assert_true(made >= 0 && fd >= 0);
	assert_int_equal(unlink(path), 0);
	return fd;
}

static struct event denial(const char *host, uint64_t at)
{
	return (struct event){
		.time_ms = at,
		.level = EVENT_WARN,
		.adapter = EVENT_CONNECT,
		.action = EVENT_DENY,
		.host = host,
		.port = 443,
		.reason = "no matching network policy",
	};
}

/* Lines and the events they stand for; the sum of a torn file is that of its whole lines. */
struct tally {
	size_t lines, torn;
	uint64_t events;
};

static struct tally tally_fd(int fd)
{
	struct tally t = { 0 };
	auto_free char *text = NULL;

	assert_int_equal(fd_slurp(fd, 64 << 20, &text, NULL), 0);
	for (char *line = text, *end; *line; line = end + 1) {
		json_t *json;

		end = line + strcspn(line, "\n");
		if (end == line && *end)
			continue;
		json = json_loadb(line, (size_t)(end - line), JSON_REJECT_DUPLICATES, NULL);
		if (json) {
			json_t *n = json_object_get(json, "n");

			t.lines++;
			t.events += n ? (uint64_t)json_integer_value(n) : 1;
		} else {
			t.torn++;
		}
		json_decref(json);
		if (!*end)
			break;
	}
	return t;
}

static void nothing_is_written_before_the_flush(void **state)
{
	int fd = temp_file(O_APPEND);
	struct log *log = log_new(fd);
	struct event e = denial("example.com", T0);

	(void)state;
	log_event(log, &e);
	assert_int_equal(tally_fd(fd).lines, 0);
	assert_int_equal(log_flush(log), 0);
	assert_int_equal(tally_fd(fd).lines, 1);
	assert_true(log_written(log) > 0);
	log_free(log);
}

static void releasing_the_log_flushes_it(void **state)
{
	int fd = temp_file(O_APPEND);
	auto_close int watch = dup(fd);
	struct log *log = log_new(fd);
	struct event e = denial("example.com", T0);

	(void)state;
	log_event(log, &e);
	log_free(log);
	assert_int_equal(tally_fd(watch).lines, 1);
	log_free(NULL);
}

/* @fd belongs to the log afterwards. */
static void flood_into(int fd, unsigned int n, unsigned int per_flush, unsigned int per_ms)
{
	struct log *log = log_new(fd);

	for (unsigned int i = 0; i < n; i++) {
		struct event e = denial("flood.example", T0 + i / per_ms);

		e.pid = i;
		e.connection = i + 1;
		log_event(log, &e);
		if (i % per_flush == 0)
			assert_int_equal(log_flush(log), 0);
	}
	log_free(log);
}

static struct tally flood(int fd, unsigned int n, unsigned int per_flush, unsigned int per_ms)
{
	auto_close int watch = dup(fd);

	flood_into(fd, n, per_flush, per_ms);
	return tally_fd(watch);
}

static void a_flood_of_one_kind_is_folded_and_none_is_lost(void **state)
{
	struct tally t = flood(temp_file(O_APPEND), 100000, 1, 100);

	(void)state;
	assert_int_equal(t.events, 100000);
	assert_int_equal(t.lines, LOG_FOLD_AFTER + 1);
}

static void a_flood_within_one_turn_is_folded_too(void **state)
{
	struct tally t = flood(temp_file(O_APPEND), 100000, 777, 100);

	(void)state;
	assert_int_equal(t.events, 100000);
	assert_int_equal(t.lines, LOG_FOLD_AFTER + 1);
}

static void a_folded_line_covers_no_more_than_its_second(void **state)
{
	struct tally t = flood(temp_file(O_APPEND), 100000, 10, 10);

	(void)state;
	assert_int_equal(t.events, 100000);
	assert_int_equal(t.lines, 10 * (LOG_FOLD_AFTER + 1));
}

/* Both lines are in the same write, and each keeps its place. */
static void floods_of_two_kinds_have_a_line_each(void **state)
{
	auto_close int watch = -1;
	int fd = temp_file(O_APPEND);
	struct log *log = log_new(fd);
	struct tally t;

	(void)state;
	watch = dup(fd);
	for (unsigned int i = 0; i < 1000; i++) {
		struct event a = denial("a.example", T0), b = denial("b.example", T0);

		log_event(log, &a);
		log_event(log, &b);
		if (i % 50 == 49)
			assert_int_equal(log_flush(log), 0);
	}
	log_free(log);
	t = tally_fd(watch);
	assert_int_equal(t.lines, 2 * (LOG_FOLD_AFTER + 1));
	assert_int_equal(t.events, 2000);
}

/* Neither what is too long to be compared nor what stands for several already. */
static void what_cannot_be_folded_is_written_in_full(void **state)
{
	auto_close int watch = -1;
	int fd = temp_file(O_APPEND);
	struct log *log = log_new(fd);
	char reason[LOG_FOLD_LINE_MAX + 1];
	struct tally t;

	(void)state;
	watch = dup(fd);
	memset(reason, 'r', LOG_FOLD_LINE_MAX);
	reason[LOG_FOLD_LINE_MAX] = '\0';
	for (unsigned int i = 0; i < 100; i++) {
		struct event longer = denial("long.example", T0), counted = denial("counted.example", T0);

		longer.reason = reason;
		counted.count = 3;
		counted.until_ms = T0;
		log_event(log, &longer);
		log_event(log, &counted);
	}
	log_free(log);
	t = tally_fd(watch);
	assert_int_equal(t.lines, 200);
	assert_int_equal(t.events, 400);
}

static void a_clock_that_is_set_back_begins_a_new_second(void **state)
{
	auto_close int watch = -1;
	int fd = temp_file(O_APPEND);
	struct log *log = log_new(fd);
	struct tally t;

	(void)state;
	watch = dup(fd);
	for (unsigned int i = 0; i < 200; i++) {
		struct event e = denial("flood.example", i < 100 ? T0 + LOG_FOLD_MS : T0);

		log_event(log, &e);
	}
	log_free(log);
	t = tally_fd(watch);
	assert_int_equal(t.lines, 2 * (LOG_FOLD_AFTER + 1));
	assert_int_equal(t.events, 200);
}

static void a_long_turn_is_written_before_it_ends(void **state)
{
	int fd = temp_file(O_APPEND);
	struct log *log = log_new(fd);
	struct event e = denial("long.example", T0);
	size_t len;

	(void)state;
	log_event(log, &e);
	assert_int_equal(log_flush(log), 0);
	len = log_written(log);
	for (size_t n = 0; n <= LOG_PENDING_WRITE / len; n++) {
		e.time_ms += LOG_FOLD_MS;
		log_event(log, &e);
	}
	assert_int_equal(tally_fd(fd).lines, 1);
	e.time_ms += LOG_FOLD_MS;
	log_event(log, &e);
	assert_true(tally_fd(fd).lines > LOG_PENDING_WRITE / len);
	log_free(log);
}

static void a_trickle_is_written_in_full(void **state)
{
	auto_close int watch = -1;
	int fd = temp_file(O_APPEND);
	struct log *log = log_new(fd);

	(void)state;
	watch = dup(fd);
	for (unsigned int i = 0; i < 100; i++) {
		struct event e = denial("slow.example", T0 + i * 100);

		log_event(log, &e);
		assert_int_equal(log_flush(log), 0);
	}
	log_free(log);
	assert_int_equal(tally_fd(watch).lines, 100);
}

static void a_flood_of_many_kinds_is_bounded_and_loses_none(void **state)
{
	auto_close int watch = -1;
	int fd = temp_file(O_APPEND);
	struct log *log = log_new(fd);
	struct tally t;

	(void)state;
	watch = dup(fd);
	for (unsigned int i = 0; i < 60000; i++) {
		char host[32];
		struct event e = denial(host, T0 + i / 100);

		(void)snprintf(host, sizeof(host), "h%u.example", i % 300);
		log_event(log, &e);
		if (i % 50 == 0)
			assert_int_equal(log_flush(log), 0);
	}
	log_free(log);
	t = tally_fd(watch);
	assert_int_equal(t.events, 60000);
	assert_int_equal(t.torn, 0);
}

static void without_append_or_seek_a_flood_loses_none(void **state)
{
	auto_close int copy = temp_file(O_APPEND);
	char chunk[4096];
	int ends[2];
	ssize_t n;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	flood_into(ends[1], 300, 10, 100); /* fits the pipe */
	while ((n = read(ends[0], chunk, sizeof(chunk))) > 0)
		assert_int_equal(fd_write_all(copy, chunk, (size_t)n), 0);
	assert_int_equal(tally_fd(copy).events, 300);
	(void)close(ends[0]);
}

static void a_count_is_never_written_over_another_line(void **state)
{
	auto_close int watch = -1;
	int fd = temp_file(O_APPEND);
	struct log *log = log_new(fd);
	struct tally t;

	(void)state;
	watch = dup(fd); /* against the contract: another writer with the same description */
	for (unsigned int i = 0; i < 200; i++) {
		struct event e = denial("flood.example", T0);

		log_event(log, &e);
		assert_int_equal(log_flush(log), 0);
		if (i == LOG_FOLD_AFTER)
			assert_int_equal(ftruncate(watch, 0), 0);
		if (i == LOG_FOLD_AFTER)
			assert_int_equal(fd_write_all(watch, "{\"foreign\":1}\n", 14), 0);
	}
	log_free(log);
	t = tally_fd(watch);
	assert_int_equal(t.torn, 0);
	assert_int_equal(t.events, 1 + 200 - LOG_FOLD_AFTER - 1);
	assert_int_equal(t.lines, 1 + 1); /* one more for what the old line cannot take */
}

static void a_full_disk_is_reported_and_the_lines_are_kept(void **state)
{
	struct log *log = log_new(open("/dev/full", O_WRONLY | O_APPEND | O_CLOEXEC));
	struct event a = denial("a.example", T0), b = denial("b.example", T0);
	int fd = temp_file(O_APPEND);

	(void)state;
	log_event(log, &a);
	assert_int_equal(log_flush(log), -ENOSPC);
	log_event(log, &b);
	assert_int_equal(log_flush(log), -ENOSPC);
	log_set_fd(log, fd);
	assert_int_equal(log_flush(log), 0);
	assert_int_equal(tally_fd(fd).events, 2);
	log_free(log);
}

static void what_could_not_be_kept_is_refused_and_counted(void **state)
{
	struct log *log = log_new(open("/dev/full", O_WRONLY | O_APPEND | O_CLOEXEC));
	int fd = temp_file(O_APPEND);
	uint64_t refused = 0, n = 0;
	char host[1000];

	(void)state;
	memset(host, 'h', sizeof(host));
	host[sizeof(host) - 1] = '\0';
	for (; n < 2 * LOG_PENDING_MAX / sizeof(host); n++) {
		struct event e = denial(host, T0 + n * LOG_FOLD_MS);

		log_event(log, &e);
		assert_int_not_equal(log_flush(log), 0);
	}
	log_set_fd(log, fd);
	(void)log_flush(log);
	assert_int_equal(log_flush(log), 0);
	refused = tally_fd(fd).events;
	assert_int_equal(refused, n);
	log_free(log);
}

static void a_short_write_is_continued_with_whole_lines(void **state)
{
	struct rlimit old, small;
	int fd = temp_file(O_APPEND);
	struct log *log = log_new(fd);
	struct tally t;

	(void)state;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 1000;
	for (unsigned int i = 0; i < 100; i++) {
		struct event e = denial("slow.example", T0 + i * LOG_FOLD_MS);

		log_event(log, &e);
	}
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(log_flush(log), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(log_flush(log), 0);
	t = tally_fd(fd);
	assert_int_equal(t.events, 100);
	assert_int_equal(t.torn, 1);
	log_free(log);
}

/* What is counted into a line that a short write left behind goes to where the line is now. */
static void a_count_behind_a_short_write_stays_in_its_line(void **state)
{
	struct rlimit old, small;
	int fd = temp_file(O_APPEND);
	struct log *log = log_new(fd);
	struct event e = denial("flood.example", T0);
	struct tally t;

	(void)state;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 1000;
	for (unsigned int i = 0; i < LOG_FOLD_AFTER + 2; i++)
		log_event(log, &e);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(log_flush(log), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	log_event(log, &e);
	assert_int_equal(log_flush(log), 0);
	log_event(log, &e);
	assert_int_equal(log_flush(log), 0);
	t = tally_fd(fd);
	assert_int_equal(t.lines, LOG_FOLD_AFTER + 1);
	assert_int_equal(t.events, LOG_FOLD_AFTER + 4);
	assert_int_equal(t.torn, 1);
	log_free(log);
}

static size_t line_length(const struct event *e)
{
	struct log *log = log_new(temp_file(O_APPEND));
	size_t n;

	log_event(log, e);
	assert_int_equal(log_flush(log), 0);
	n = log_written(log);
	log_free(log);
	return n;
}

/* Collects events, each of its own kind, until @left bytes are left of what may be collected; their number. */
static uint64_t fill(struct log *log, size_t left)
{
	enum { REASON = 900 };
	struct event e = denial("filler.example", T0);
	size_t room = LOG_PENDING_MAX, len;
	char reason[4 * REASON] = "";
	struct rlimit old, none;
	uint64_t n = 0;

	e.reason = memset(reason, 'r', REASON);
	len = line_length(&e);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	none = old;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	for (; room >= 2 * len + left; room -= len, n++) {
		e.time_ms = T0 + n * LOG_FOLD_MS;
		log_event(log, &e);
	}
	e.time_ms = T0 + n * LOG_FOLD_MS;
	(void)memset(reason, 'r', REASON + room - left - len);
	log_event(log, &e);
	assert_int_equal(log_flush(log), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	return n + 1;
}

/* A full disk, a full buffer, and a count that belongs into a line which cannot be changed. */
static void counts_that_fit_nowhere_are_told_as_refused(void **state)
{
	int first = temp_file(O_APPEND), second = temp_file(O_APPEND);
	auto_close int watch = dup(first);
	struct log *log = log_new(first);
	struct event e = denial("flood.example", T0);
	struct rlimit old, none;
	uint64_t n;

	(void)state;
	(void)signal(SIGXFSZ, SIG_IGN);
	for (unsigned int i = 0; i < LOG_FOLD_AFTER + 2; i++)
		log_event(log, &e);
	assert_int_equal(log_flush(log), 0);
	n = fill(log, line_length(&e) + 16);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	none = old;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	log_event(log, &e); /* there is room for it, and none for a new line with a count */
	assert_int_equal(log_flush(log), -ENOBUFS);
	e.time_ms += LOG_FOLD_MS;
	log_event(log, &e); /* the next second begins; the count of the last one is still nowhere */
	log_event(log, &e); /* no room */
	log_set_fd(log, second);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(log_flush(log), -ENOBUFS);
	assert_int_equal(log_flush(log), 0);
	assert_int_equal(tally_fd(watch).events, LOG_FOLD_AFTER + 2);
	assert_int_equal(tally_fd(second).events, n + 3);
	log_free(log);
}

static void counts_go_along_when_the_segment_changes(void **state)
{
	int first = temp_file(O_APPEND), second = temp_file(O_APPEND);
	auto_close int watch = dup(first);
	struct log *log = log_new(first);

	(void)state;
	for (unsigned int i = 0; i < 1000; i++) {
		struct event e = denial("flood.example", T0);

		log_event(log, &e);
		if (i == 500)
			log_set_fd(log, second);
		assert_int_equal(log_flush(log), 0);
	}
	assert_int_equal(tally_fd(watch).events + tally_fd(second).events, 1000);
	assert_int_equal(tally_fd(watch).events, 501);
	log_free(log);
}

/* The child tells through the pipe how many events it has flushed; the parent kills it. */
static void write_until_killed(int fd, int ack, unsigned int seed)
{
	struct log *log = log_new(fd);

	for (uint64_t n = 0;; n++) {
		char host[32];
		struct event e = denial(host, T0 + n / 8);

		(void)snprintf(host, sizeof(host), "h%u.example", rand_r(&seed) % 3);
		log_event(log, &e);
		if (log_flush(log) != 0 || write(ack, &n, sizeof(n)) != (ssize_t)sizeof(n))
			_exit(1);
	}
}

static uint64_t last_acknowledged(int ack)
{
	uint64_t n, last = 0;

	while (read(ack, &n, sizeof(n)) == (ssize_t)sizeof(n))
		last = n + 1;
	return last;
}

static void a_writer_killed_at_random_loses_no_acknowledged_event(void **state)
{
	unsigned int seed = 1;

	(void)state;
	for (int round = 0; round < 1000; round++) {
		auto_close int fd = temp_file(O_APPEND);
		struct tally t;
		uint64_t acked, first;
		int ack[2];
		pid_t child;

		assert_int_equal(pipe(ack), 0);
		child = fork();
		if (child == 0)
			write_until_killed(fd, ack[1], seed);
		(void)close(ack[1]);
		assert_int_equal(read(ack[0], &first, sizeof(first)), sizeof(first));
		for (int left = rand_r(&seed) % 300; left > 0; left--)
			assert_int_equal(read(ack[0], &first, sizeof(first)), sizeof(first));
		assert_int_equal(kill(child, SIGKILL), 0);
		assert_int_equal(waitpid(child, NULL, 0), child);
		acked = last_acknowledged(ack[0]);
		acked = acked ? acked : first + 1;
		t = tally_fd(fd);
		assert_in_range(t.events, acked, acked + 1);
		assert_true(t.torn <= 1);
		(void)close(ack[0]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_written_before_the_flush),
		cmocka_unit_test(releasing_the_log_flushes_it),
		cmocka_unit_test(a_flood_of_one_kind_is_folded_and_none_is_lost),
		cmocka_unit_test(a_flood_within_one_turn_is_folded_too),
		cmocka_unit_test(a_folded_line_covers_no_more_than_its_second),
		cmocka_unit_test(floods_of_two_kinds_have_a_line_each),
		cmocka_unit_test(what_cannot_be_folded_is_written_in_full),
		cmocka_unit_test(a_clock_that_is_set_back_begins_a_new_second),
		cmocka_unit_test(a_long_turn_is_written_before_it_ends),
		cmocka_unit_test(a_trickle_is_written_in_full),
		cmocka_unit_test(a_flood_of_many_kinds_is_bounded_and_loses_none),
		cmocka_unit_test(without_append_or_seek_a_flood_loses_none),
		cmocka_unit_test(a_count_is_never_written_over_another_line),
		cmocka_unit_test(a_full_disk_is_reported_and_the_lines_are_kept),
		cmocka_unit_test(what_could_not_be_kept_is_refused_and_counted),
		cmocka_unit_test(a_short_write_is_continued_with_whole_lines),
		cmocka_unit_test(a_count_behind_a_short_write_stays_in_its_line),
		cmocka_unit_test(counts_that_fit_nowhere_are_told_as_refused),
		cmocka_unit_test(counts_go_along_when_the_segment_changes),
		cmocka_unit_test(a_writer_killed_at_random_loses_no_acknowledged_event),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
