#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/logstore.h"

static const uint64_t t0 = 1775014132118;

struct place {
	char path[64];
	int dirfd;
};

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	strcpy(p->path, "/tmp/test_logstore_XXXXXX");
	assert_non_null(mkdtemp(p->path));
	p->dirfd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(p->dirfd >= 0);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	auto_closedir DIR *dir = opendir(p->path);
	struct dirent *e;

	while ((e = readdir(dir)))
		(void)unlinkat(p->dirfd, e->d_name, 0);
	assert_int_equal(rmdir(p->path), 0);
	(void)close(p->dirfd);
	free(p);
	return 0;
}

/* One line each with its number as the port, at t0 + number seconds. */
static void put_events(int fd, unsigned int from, unsigned int to)
{
	struct log *log = log_new(fd);

	for (unsigned int i = from; i < to; i++) {
		struct event e = {
			.time_ms = t0 + i * 1000ull,
			.level = i % 10 ? EVENT_INFO : EVENT_WARN,
			.adapter = i % 2 ? EVENT_L7 : EVENT_CONNECT,
			.action = EVENT_ALLOW,
			.host = "example.com",
			.port = i + 1,
		};

		log_event(log, &e);
	}
	assert_int_equal(log_flush(log), 0);
	log_free(log);
}

static void put_text(int fd, const char *text)
{
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
	(void)close(fd);
}

struct seen {
	unsigned int ports[4096];
	size_t n;
};

static int see(void *arg, const struct event_peek *peek, const char *line, size_t len)
{
	const char *port = memmem(line, len, "\"o\":", 4);
	struct seen *s = arg;

	(void)peek;
	assert_true(s->n < 4096);
	s->ports[s->n++] = port ? (unsigned int)strtoul(port + 4, NULL, 10) - 1 : 4096;
	return 0;
}

static struct seen ask(struct place *p, struct logstore_query q, size_t *ret_torn)
{
	struct logstore_view *v = NULL;
	struct seen s = { .n = 0 };

	assert_int_equal(logstore_view_open(&v, p->dirfd), 0);
	assert_int_equal(logstore_read(v, &q, see, &s), 0);
	if (ret_torn)
		*ret_torn = logstore_torn(v);
	logstore_view_free(v);
	return s;
}

static struct logstore *open_store(struct place *p, uint64_t now)
{
	struct logstore *s = NULL;
	struct err err = { 0 };

	assert_int_equal(logstore_open(&s, p->dirfd, now, &err), 0);
	return s;
}

/* Segments of 100 events, three of them. */
static void three_segments(struct place *p)
{
	for (unsigned int i = 0; i < 3; i++) {
		struct logstore *s = open_store(p, t0 + i * (uint64_t)LOGSTORE_AGE_MAX_MS);

		put_events(logstore_open_writer(s), i * 100, i * 100 + 100);
		logstore_free(s);
	}
}

static void an_empty_directory_has_no_events(void **state)
{
	struct seen s = ask(*state, (struct logstore_query){ .last = 5 }, NULL);

	assert_int_equal(s.n, 0);
}

static void segments_are_private_and_read_in_order(void **state)
{
	struct place *p = *state;
	struct seen s;
	struct stat st;

	three_segments(p);
	assert_int_equal(fstatat(p->dirfd, "00000001-1775014132118.log", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	s = ask(p, (struct logstore_query){ 0 }, NULL);
	assert_int_equal(s.n, 300);
	for (unsigned int i = 0; i < 300; i++)
		assert_int_equal(s.ports[i], i);
}

static void since_finds_every_time_in_every_segment(void **state)
{
	struct place *p = *state;

	three_segments(p);
	for (unsigned int i = 0; i <= 300; i++) {
		struct seen s =
			ask(p, (struct logstore_query){ .since_ms = t0 + i * 1000ull }, NULL);

		assert_int_equal(s.n, 300 - i);
		assert_true(!s.n || s.ports[0] == i);
	}
}

static void put_event_at(int fd, uint64_t ms, unsigned int number)
{
	const struct event e = { .time_ms = ms, .level = EVENT_INFO, .adapter = EVENT_L7, .host = "example.com",
		.port = number + 1 };
	struct log *log = log_new(fd);

	log_event(log, &e);
	assert_int_equal(log_flush(log), 0);
	log_free(log);
}

/* An hour ahead, back by two, an hour ahead again, a hundred events each: whatever time is asked for, each
 * event with that time or a later one comes, in the order in which they were written. */
static void since_finds_all_behind_a_clock_that_was_set(void **state)
{
	static const int64_t minutes[] = { 60, -60, 0, 10 };
	uint64_t times[ARRAY_SIZE(minutes) * 100];
	struct place *p = *state;
	struct logstore *s = open_store(p, t0 - 2 * 3600000);

	for (unsigned int i = 0; i < ARRAY_SIZE(times); i++) {
		times[i] = t0 + (uint64_t)(minutes[i / 100] * 60000) + i % 100 * 1000;
		put_event_at(logstore_open_writer(s), times[i], i);
	}
	for (uint64_t since = t0 - 3660000; since < t0 + 3800000; since += 7000) {
		struct seen got = ask(p, (struct logstore_query){ .since_ms = since }, NULL);
		struct seen last = ask(p, (struct logstore_query){ .since_ms = since, .last = 1000 }, NULL);
		size_t n = 0;

		for (unsigned int i = 0; i < ARRAY_SIZE(times); i++) {
			if (times[i] < since)
				continue;
			assert_true(n < got.n && n < last.n);
			assert_int_equal(got.ports[n], i);
			assert_int_equal(last.ports[n++], i);
		}
		assert_int_equal(got.n, n);
		assert_int_equal(last.n, n);
	}
	logstore_free(s);
}

static void the_last_lines_come_from_the_end_and_in_order(void **state)
{
	struct place *p = *state;
	struct seen s;

	three_segments(p);
	for (size_t n = 1; n < 320; n += 7) {
		s = ask(p, (struct logstore_query){ .last = n }, NULL);
		assert_int_equal(s.n, n < 300 ? n : 300);
		assert_int_equal(s.ports[0], n < 300 ? 300 - n : 0);
		assert_int_equal(s.ports[s.n - 1], 299);
	}
	s = ask(p, (struct logstore_query){ .last = 50, .since_ms = t0 + 280000 }, NULL);
	assert_int_equal(s.n, 20);
}

static void level_and_adapter_select(void **state)
{
	struct place *p = *state;
	struct seen s;

	three_segments(p);
	s = ask(p, (struct logstore_query){ .min_level = EVENT_WARN, .last = 3 }, NULL);
	assert_int_equal(s.n, 3);
	assert_int_equal(s.ports[0], 270);
	s = ask(p, (struct logstore_query){ .adapters = 1u << EVENT_L7 }, NULL);
	assert_int_equal(s.n, 150);
	assert_int_equal(s.ports[0], 1);
}

static void bytes_of_the_line_select(void **state)
{
	struct place *p = *state;
	struct seen s;

	three_segments(p);
	s = ask(p, (struct logstore_query){ .contains = "\"o\":29" }, NULL);
	assert_int_equal(s.n, 11); /* 29, 290 to 299 */
	s = ask(p, (struct logstore_query){ .contains = "\"o\":29", .last = 2 }, NULL);
	assert_int_equal(s.n, 2);
	assert_int_equal(s.ports[1], 298);
	s = ask(p, (struct logstore_query){ .contains = "example.org" }, NULL);
	assert_int_equal(s.n, 0);
}

static void lines_of_two_writers_a_little_out_of_order_are_found(void **state)
{
	struct place *p = *state;
	struct logstore *s = open_store(p, t0);
	struct seen seen;

	put_events(logstore_open_writer(s), 0, 100);
	put_events(logstore_open_writer(s), 97, 98);
	put_events(logstore_open_writer(s), 100, 200);
	logstore_free(s);
	seen = ask(p, (struct logstore_query){ .since_ms = t0 + 97000 }, NULL);
	assert_int_equal(seen.n, 104);
}

static void torn_and_foreign_lines_are_skipped_and_counted(void **state)
{
	struct place *p = *state;
	struct logstore *s = open_store(p, t0);
	struct seen seen;
	size_t torn;

	put_events(logstore_open_writer(s), 0, 10);
	put_text(logstore_open_writer(s), "{\"t\":1775014132118,\"l\":1,\"a\":\"CONN");
	put_events(logstore_open_writer(s), 10, 20);
	put_text(logstore_open_writer(s), "hello\n\n{\"x\":1}\n[]\n");
	put_events(logstore_open_writer(s), 20, 30);
	logstore_free(s);
	seen = ask(p, (struct logstore_query){ 0 }, &torn);
	assert_int_equal(seen.n, 30);
	assert_int_equal(torn, 4);
	seen = ask(p, (struct logstore_query){ .last = 25 }, &torn);
	assert_int_equal(seen.n, 25);
	assert_int_equal(seen.ports[0], 5);
	assert_int_equal(torn, 4);
}

static void opening_again_ends_a_torn_line(void **state)
{
	struct place *p = *state;
	struct logstore *s = open_store(p, t0);
	struct seen seen;
	size_t torn;

	put_events(logstore_open_writer(s), 0, 10);
	put_text(logstore_open_writer(s), "{\"t\":17750141");
	logstore_free(s);
	s = open_store(p, t0 + 1000);
	put_events(logstore_open_writer(s), 10, 12);
	logstore_free(s);
	seen = ask(p, (struct logstore_query){ 0 }, &torn);
	assert_int_equal(seen.n, 12);
	assert_int_equal(torn, 1);
}

static void a_full_or_old_segment_is_followed_by_the_next(void **state)
{
	struct place *p = *state;
	struct logstore *s = open_store(p, t0);
	struct err err = { 0 };
	unsigned int pruned;
	auto_close int fd = logstore_open_writer(s);

	assert_int_equal(logstore_rotate(s, t0 + 1, &pruned, &err), 0);
	assert_int_equal(ftruncate(fd, LOGSTORE_SEGMENT_MAX), 0);
	assert_int_equal(logstore_rotate(s, t0 + 2, &pruned, &err), 1);
	assert_int_equal(logstore_rotate(s, t0 + 3, &pruned, &err), 0);
	assert_int_equal(logstore_rotate(s, t0 + 2 + LOGSTORE_AGE_MAX_MS, &pruned, &err), 1);
	assert_int_equal(pruned, 0);
	assert_int_equal(faccessat(p->dirfd, "00000003-1775100532120.log", F_OK, 0), 0);
	logstore_free(s);
}

static void the_oldest_segments_go_when_all_are_too_much(void **state)
{
	struct place *p = *state;
	struct logstore *s = open_store(p, t0);
	struct err err = { 0 };
	unsigned int pruned = 0;

	for (uint64_t i = 0; i < LOGSTORE_TOTAL_MAX / LOGSTORE_SEGMENT_MAX + 2; i++) {
		auto_close int fd = logstore_open_writer(s);
		unsigned int one;

		assert_int_equal(ftruncate(fd, LOGSTORE_SEGMENT_MAX), 0); /* sparse */
		assert_int_equal(logstore_rotate(s, t0 + i, &one, &err), 1);
		pruned += one;
	}
	assert_int_equal(pruned, 2);
	assert_int_equal(faccessat(p->dirfd, "00000001-1775014132118.log", F_OK, 0), -1);
	logstore_free(s);
}

static void other_files_are_left_alone(void **state)
{
	struct place *p = *state;
	struct logstore *s;

	put_text(openat(p->dirfd, "1-2.log", O_CREAT | O_WRONLY, 0600), "x\n");
	put_text(openat(p->dirfd, "00000009-1775014132118.log.bak", O_CREAT | O_WRONLY, 0600),
		"x\n");
	assert_int_equal(symlinkat("/etc/passwd", p->dirfd, "00000007-1775014132118.log"), 0);
	s = open_store(p, t0);
	assert_int_equal(faccessat(p->dirfd, "00000001-1775014132118.log", F_OK, 0), 0);
	logstore_free(s);
}

static void following_goes_on_across_rotation(void **state)
{
	struct place *p = *state;
	struct logstore *s = open_store(p, t0);
	struct logstore_view *v = NULL;
	struct logstore_query q = { .last = 2 };
	struct pollfd poller = { .events = POLLIN };
	struct seen seen = { .n = 0 };
	struct err err = { 0 };
	unsigned int pruned;
	int wait_ms;

	put_events(logstore_open_writer(s), 0, 10);
	assert_int_equal(logstore_view_open(&v, p->dirfd), 0);
	poller.fd = logstore_watch(v);
	assert_true(poller.fd >= 0);
	assert_int_equal(logstore_read(v, &q, see, &seen), 0);
	assert_int_equal(seen.n, 2);
	assert_int_equal(poll(&poller, 1, 0), 0);
	put_events(logstore_open_writer(s), 10, 12);
	assert_int_equal(logstore_rotate(s, t0 + LOGSTORE_AGE_MAX_MS, &pruned, &err), 1);
	put_events(logstore_open_writer(s), 12, 14);
	assert_int_equal(poll(&poller, 1, 0), 1);
	logstore_watch_clear(v);
	assert_int_equal(logstore_follow(v, &q, t0, see, &seen, &wait_ms), 0);
	assert_int_equal(wait_ms, -1);
	assert_int_equal(seen.n, 6);
	assert_int_equal(seen.ports[5], 13);
	assert_int_equal(logstore_follow(v, &q, t0, see, &seen, &wait_ms), 0);
	assert_int_equal(seen.n, 6);
	logstore_view_free(v);
	logstore_free(s);
}

static void following_waits_for_the_rest_of_a_line(void **state)
{
	struct place *p = *state;
	struct logstore *s = open_store(p, t0);
	struct logstore_view *v = NULL;
	struct logstore_query q = { 0 };
	struct seen seen = { .n = 0 };
	int wait_ms;

	put_text(logstore_open_writer(s), "{\"t\":1775014132118,\"l\":1,\"a\":\"CONN");
	assert_int_equal(logstore_view_open(&v, p->dirfd), 0);
	assert_int_equal(logstore_read(v, &q, see, &seen), 0);
	put_text(logstore_open_writer(s), "ECT\",\"o\":5}\n");
	assert_int_equal(logstore_follow(v, &q, t0, see, &seen, &wait_ms), 0);
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.ports[0], 4);
	assert_int_equal(logstore_torn(v), 0);
	logstore_view_free(v);
	logstore_free(s);
}

static void a_folded_line_is_held_back_while_it_counts(void **state)
{
	struct place *p = *state;
	struct logstore *s = open_store(p, t0);
	struct logstore_view *v = NULL;
	struct logstore_query q = { 0 };
	struct seen seen = { .n = 0 };
	struct log *log = log_new(logstore_open_writer(s));
	struct event e = { .time_ms = t0, .adapter = EVENT_TCP, .port = 443 };
	int wait_ms;

	assert_int_equal(logstore_view_open(&v, p->dirfd), 0);
	for (int i = 0; i < 100; i++)
		log_event(log, &e);
	log_free(log);
	assert_int_equal(logstore_follow(v, &q, t0 + 10, see, &seen, &wait_ms), 0);
	assert_int_equal(seen.n, LOG_FOLD_AFTER);
	assert_int_equal(wait_ms, LOG_FOLD_MS - 10);
	assert_int_equal(logstore_follow(v, &q, t0 + LOG_FOLD_MS, see, &seen, &wait_ms), 0);
	assert_int_equal(seen.n, LOG_FOLD_AFTER + 1);
	logstore_view_free(v);
	logstore_free(s);
}

/* Where it cannot be watched, each asking says so: a follower would wait for what never comes. */
static void a_directory_that_cannot_be_watched_is_told_each_time(void **state)
{
	struct place *p = *state;
	struct logstore_view *v = NULL;
	int dirfd = fcntl(p->dirfd, F_DUPFD_CLOEXEC, 100), wait_ms; /* a number that nothing else gets */
	struct logstore_query q = { 0 };
	struct seen seen = { .n = 0 };

	assert_int_equal(logstore_view_open(&v, dirfd), 0);
	(void)close(dirfd);
	assert_int_equal(logstore_watch(v), -ENOENT);
	assert_int_equal(logstore_watch(v), -ENOENT);
	assert_int_equal(logstore_follow(v, &q, t0, see, &seen, &wait_ms), -EBADF);
	logstore_view_free(v);
	logstore_view_free(NULL);
}

static void what_is_no_directory_is_refused(void **state)
{
	struct place *p = *state;
	auto_close int file = openat(p->dirfd, "file", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	struct logstore_view *v = NULL;
	struct logstore *s = NULL;
	struct err err = { 0 };

	assert_int_equal(logstore_open(&s, -1, t0, &err), -EBADF);
	assert_string_equal(err.text, "log: Bad file descriptor");
	assert_int_equal(logstore_open(&s, file, t0, &err), -ENOTDIR);
	assert_int_equal(logstore_view_open(&v, file), -ENOTDIR);
	assert_null(s);
	assert_null(v);
}

static void opening_again_goes_on_with_a_whole_segment(void **state)
{
	struct place *p = *state;
	struct logstore *s = open_store(p, t0);
	struct stat before, after;

	logstore_free(s);
	s = open_store(p, t0 + 1); /* nothing in it yet */
	put_events(logstore_open_writer(s), 0, 10);
	assert_int_equal(fstatat(p->dirfd, "00000001-1775014132118.log", &before, 0), 0);
	logstore_free(s);
	s = open_store(p, t0 + 1000);
	assert_int_equal(fstatat(p->dirfd, "00000001-1775014132118.log", &after, 0), 0);
	assert_int_equal(after.st_size, before.st_size);
	assert_int_equal(faccessat(p->dirfd, "00000002-1775014133118.log", F_OK, 0), -1);
	logstore_free(s);
}

static void the_newest_segments_come_first_and_no_more_than_asked_for(void **state)
{
	struct place *p = *state;
	struct logstore *s;
	struct stat want, got;
	int fds[4];

	three_segments(p);
	s = open_store(p, t0 + 2 * (uint64_t)LOGSTORE_AGE_MAX_MS);
	assert_int_equal(logstore_open_newest(s, fds, 2), 2);
	for (int i = 0; i < 2; i++) {
		char name[48];

		(void)snprintf(name, sizeof(name), "%08d-%013llu.log", 3 - i,
			(unsigned long long)(t0 + (2 - i) * (uint64_t)LOGSTORE_AGE_MAX_MS));
		assert_int_equal(fstatat(p->dirfd, name, &want, 0), 0);
		assert_int_equal(fstat(fds[i], &got), 0);
		assert_int_equal(got.st_ino, want.st_ino);
		assert_int_equal(fcntl(fds[i], F_GETFL) & O_ACCMODE, O_RDONLY);
		(void)close(fds[i]);
	}
	assert_int_equal(logstore_open_newest(s, fds, 4), 3);
	for (int i = 0; i < 3; i++)
		(void)close(fds[i]);
	logstore_free(s);
}

/* The reader has listed it and then it is gone, or no longer what it was. */
static void a_segment_that_goes_away_is_empty_and_a_link_is_not_followed(void **state)
{
	static const char name[] = "00000001-1775014132118.log";
	struct place *p = *state;
	struct logstore *s = open_store(p, t0);
	struct logstore_view *v = NULL;
	struct logstore_query all = { 0 }, last = { .last = 5 };
	struct seen seen = { .n = 0 };

	put_events(logstore_open_writer(s), 0, 10);
	assert_int_equal(logstore_view_open(&v, p->dirfd), 0);
	assert_int_equal(logstore_read(v, &last, see, &seen), 0);
	assert_int_equal(seen.n, 5);
	assert_int_equal(renameat(p->dirfd, name, p->dirfd, "elsewhere"), 0);
	assert_int_equal(logstore_read(v, &all, see, &seen), 0);
	assert_int_equal(logstore_read(v, &last, see, &seen), 0);
	assert_int_equal(seen.n, 5);
	assert_int_equal(symlinkat("elsewhere", p->dirfd, name), 0);
	assert_int_equal(logstore_read(v, &all, see, &seen), -ELOOP);
	assert_int_equal(logstore_read(v, &last, see, &seen), -ELOOP);
	assert_int_equal(seen.n, 5);
	logstore_view_free(v);
	logstore_free(s);
}

static void what_a_killed_writer_left_in_an_old_segment_is_counted(void **state)
{
	struct place *p = *state;
	struct logstore *s = open_store(p, t0);
	struct err err = { 0 };
	unsigned int pruned;
	struct seen seen;
	size_t torn;

	put_events(logstore_open_writer(s), 0, 10);
	put_text(logstore_open_writer(s), "{\"t\":17750141");
	seen = ask(p, (struct logstore_query){ 0 }, &torn);
	assert_int_equal(torn, 0); /* it may be going on */
	assert_int_equal(logstore_rotate(s, t0 + LOGSTORE_AGE_MAX_MS, &pruned, &err), 1);
	put_events(logstore_open_writer(s), 10, 20);
	seen = ask(p, (struct logstore_query){ 0 }, &torn);
	assert_int_equal(seen.n, 20);
	assert_int_equal(torn, 1);
	seen = ask(p, (struct logstore_query){ .last = 20 }, &torn);
	assert_int_equal(seen.n, 20);
	assert_int_equal(torn, 1);
	logstore_free(s);
}

/* The search for a time steps over lines that have none. */
static void since_finds_its_time_among_foreign_lines(void **state)
{
	struct place *p = *state;
	struct logstore *s = open_store(p, t0);
	auto_buf struct buf junk;
	struct seen seen;

	buf_init(&junk, 1 << 20);
	for (int i = 0; i < 2000; i++)
		(void)buf_puts(&junk, "no event\n");
	put_text(logstore_open_writer(s), buf_cstr(&junk));
	put_events(logstore_open_writer(s), 0, 100);
	put_text(logstore_open_writer(s), buf_cstr(&junk));
	put_events(logstore_open_writer(s), 100, 200);
	put_text(logstore_open_writer(s), buf_cstr(&junk));
	logstore_free(s);
	for (unsigned int i = 0; i < 200; i += 7) {
		seen = ask(p, (struct logstore_query){ .since_ms = t0 + i * 1000ull }, NULL);
		assert_int_equal(seen.n, 200 - i);
		assert_int_equal(seen.ports[0], i);
	}
	seen = ask(p, (struct logstore_query){ .since_ms = t0 + 200000 }, NULL);
	assert_int_equal(seen.n, 0);
}

static void a_segment_that_was_taken_away_is_told(void **state)
{
	struct place *p = *state;
	struct logstore *s = open_store(p, t0);
	struct err err = { 0 };
	unsigned int pruned;

	assert_int_equal(unlinkat(p->dirfd, "00000001-1775014132118.log", 0), 0);
	assert_int_equal(logstore_rotate(s, t0 + 1, &pruned, &err), -ENOENT);
	assert_string_equal(err.text, "log segment '00000001-1775014132118.log': No such file or directory");
	logstore_free(s);
}

/* Out of descriptors: nothing is begun, and the next try is as good as the first. */
static void without_descriptors_no_segment_begins(void **state)
{
	struct place *p = *state;
	struct logstore *s = open_store(p, t0);
	struct logstore_view *v = NULL;
	struct rlimit old, none;
	struct err err = { 0 };
	unsigned int pruned;
	int fds[1];

	assert_int_equal(logstore_view_open(&v, p->dirfd), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(logstore_rotate(s, t0 + LOGSTORE_AGE_MAX_MS, &pruned, &err), -EMFILE);
	assert_int_equal(logstore_open_newest(s, fds, 1), 0);
	assert_int_equal(logstore_watch(v), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_string_equal(err.text, "new log segment: Too many open files");
	assert_int_equal(logstore_rotate(s, t0 + LOGSTORE_AGE_MAX_MS, &pruned, &err), 1);
	assert_true(logstore_watch(v) >= 0);
	logstore_view_free(v);
	logstore_free(s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_empty_directory_has_no_events),
		TEST(segments_are_private_and_read_in_order),
		TEST(since_finds_every_time_in_every_segment),
		TEST(since_finds_all_behind_a_clock_that_was_set),
		TEST(the_last_lines_come_from_the_end_and_in_order),
		TEST(level_and_adapter_select),
		TEST(bytes_of_the_line_select),
		TEST(lines_of_two_writers_a_little_out_of_order_are_found),
		TEST(torn_and_foreign_lines_are_skipped_and_counted),
		TEST(opening_again_ends_a_torn_line),
		TEST(a_full_or_old_segment_is_followed_by_the_next),
		TEST(the_oldest_segments_go_when_all_are_too_much),
		TEST(other_files_are_left_alone),
		TEST(a_directory_that_cannot_be_watched_is_told_each_time),
		TEST(what_is_no_directory_is_refused),
		TEST(opening_again_goes_on_with_a_whole_segment),
		TEST(the_newest_segments_come_first_and_no_more_than_asked_for),
		TEST(a_segment_that_goes_away_is_empty_and_a_link_is_not_followed),
		TEST(what_a_killed_writer_left_in_an_old_segment_is_counted),
		TEST(since_finds_its_time_among_foreign_lines),
		TEST(a_segment_that_was_taken_away_is_told),
		TEST(without_descriptors_no_segment_begins),
		TEST(following_goes_on_across_rotation),
		TEST(following_waits_for_the_rest_of_a_line),
		TEST(a_folded_line_is_held_back_while_it_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
