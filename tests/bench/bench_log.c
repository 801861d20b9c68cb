/*
 * The log: what an event costs its writer, and how long readers wait on a million events. The
 * yardsticks are the bare write(2) of the same bytes, and reading every byte of the log once.
 */
#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/learn.h"
#include "lib/log.h"
#include "lib/logstore.h"

enum { FEW = 100000, MANY = 1000000, STEP_MS = 20 };

static const uint64_t t0 = 1775014132118;
static char dir[] = "/tmp/bench_log_XXXXXX";

static double now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static struct event event_at(unsigned int i, char target[64])
{
	static const char *const ancestors[] = { "/usr/bin/node", "/usr/bin/bash", NULL };

	(void)snprintf(target, 64, "/repos/acme/widgets/issues/%u", i);
	return (struct event){
		.time_ms = t0 + (uint64_t)i * STEP_MS,
		.level = i % 20 ? EVENT_INFO : EVENT_WARN,
		.adapter = EVENT_L7,
		.action = i % 20 ? EVENT_ALLOW : EVENT_DENY,
		.host = "api.example.com",
		.port = 443,
		.binary = "/usr/bin/curl",
		.ancestors = ancestors,
		.pid = 64 + i % 7,
		.connection = i + 1,
		.policy = "acme-api",
		.endpoint = "network_policies.acme.endpoints[0]",
		.rule = "rules[3]",
		.engine = "l7",
		.method = "GET",
		.target = target,
		.status = 200,
		.generation = 3,
	};
}

static void result(const char *name, double value, const char *unit, double yardstick,
	double budget, bool is_ratio)
{
	double got = is_ratio ? value / yardstick : value;
	char ratio[24] = "-", yard[24] = "-";

	if (yardstick > 0) {
		(void)snprintf(ratio, sizeof(ratio), "%.2fx", value / yardstick);
		(void)snprintf(yard, sizeof(yard), "%.3g", yardstick);
	}
	printf("BENCH %s %.3g %s %s %s <=%g%s %s\n", name, value, unit, yard, ratio, budget,
		is_ratio ? "x" : unit, got <= budget ? "pass" : "miss");
}

static double format_ns(size_t *ret_len)
{
	auto_buf struct buf b = { 0 };
	char target[64];
	struct event e = event_at(FEW, target);
	double start;

	buf_init(&b, EVENT_LINE_MAX);
	start = now_us();
	for (unsigned int i = 0; i < FEW; i++) {
		buf_reset(&b);
		assert(event_format(&b, &e) == 0);
	}
	*ret_len = b.len;
	return (now_us() - start) * 1000 / FEW;
}

static int scratch(void)
{
	char path[64];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/scratch", dir);
	(void)unlink(path);
	fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	assert(fd >= 0);
	return fd;
}

static double bare_write_us(size_t len)
{
	auto_close int fd = scratch();
	char line[1024];
	double start = now_us();

	memset(line, 'x', sizeof(line));
	for (unsigned int i = 0; i < FEW; i++)
		assert(write(fd, line, len) == (ssize_t)len);
	return (now_us() - start) / FEW;
}

/* Each event flushed on its own: the worst a turn of the loop can do. */
static double logged_us(bool is_flood)
{
	struct log *log = log_new(scratch());
	char target[64];
	double start = now_us();

	for (unsigned int i = 0; i < FEW; i++) {
		struct event e = event_at(is_flood ? 0 : i, target);

		log_event(log, &e);
		assert(log_flush(log) == 0);
	}
	start = (now_us() - start) / FEW;
	log_free(log);
	return start;
}

static void fill(int dirfd)
{
	struct err err = { 0 };
	struct logstore *s = NULL;
	struct log *log;
	char target[64];

	assert(logstore_open(&s, dirfd, t0, &err) == 0);
	log = log_new(logstore_open_writer(s));
	for (unsigned int i = 0; i < MANY; i++) {
		struct event e = event_at(i, target);
		unsigned int pruned;

		log_event(log, &e);
		if (i % 100 == 0)
			assert(log_flush(log) == 0);
		if (i % 5000 == 0 && logstore_rotate(s, e.time_ms, &pruned, &err) == 1)
			log_set_fd(log, logstore_open_writer(s));
	}
	log_free(log);
	logstore_free(s);
}

/* What no reader that looks at everything can beat. */
static double read_everything_ms(int dirfd)
{
	auto_closedir DIR *d = fdopendir(openat(dirfd, ".", O_RDONLY | O_CLOEXEC));
	static char chunk[1 << 20];
	double start = now_us();
	struct dirent *e;

	while ((e = readdir(d))) {
		auto_close int fd = openat(dirfd, e->d_name, O_RDONLY | O_CLOEXEC);

		while (e->d_name[0] != '.' && read(fd, chunk, sizeof(chunk)) > 0)
			continue;
	}
	return (now_us() - start) / 1000;
}

static int count(void *arg, const struct event_peek *peek, const char *line, size_t len)
{
	size_t *n = arg;

	(void)peek;
	(void)line;
	(void)len;
	(*n)++;
	return 0;
}

static double query_ms(int dirfd, const struct logstore_query *q, size_t expected)
{
	struct logstore_view *v = NULL;
	double start = now_us();
	size_t n = 0;

	assert(logstore_view_open(&v, dirfd) == 0);
	assert(logstore_read(v, q, count, &n) == 0);
	logstore_view_free(v);
	assert(n == expected);
	return (now_us() - start) / 1000;
}

static void readers(int dirfd)
{
	uint64_t end = t0 + (uint64_t)MANY * STEP_MS;
	struct logstore_query since = { .since_ms = end - 300000 };
	struct logstore_query last = { .last = 200 };
	struct logstore_query warnings = { .last = 200, .min_level = EVENT_WARN };
	struct logstore_query rare = { .last = 200, .min_level = EVENT_ERROR };
	double all = read_everything_ms(dirfd);

	result("log_since_5m", query_ms(dirfd, &since, 300000 / STEP_MS), "ms", all, 20, false);
	result("log_last_200", query_ms(dirfd, &last, 200), "ms", all, 20, false);
	result("log_last_200_warn", query_ms(dirfd, &warnings, 200), "ms", all, 20, false);
	result("log_last_200_none_fits", query_ms(dirfd, &rare, 0), "ms", all, 500, false);
}

static int learn_line(void *arg, const struct event_peek *peek, const char *line, size_t len)
{
	auto_event_record struct event_record record = { 0 };

	(void)peek;
	assert(event_parse(line, len, &record) == 0);
	return learn_event(arg, &record.event);
}

static double learn_ms(int dirfd)
{
	const struct logstore_query everything = { 0 };
	struct learn *l = learn_new(true);
	struct logstore_view *v = NULL;
	struct policy_doc *statics = NULL, *d = NULL;
	double start = now_us();

	assert(policy_doc_parse(policy_default_yaml, strlen(policy_default_yaml), &statics, NULL) ==
		0);
	assert(logstore_view_open(&v, dirfd) == 0);
	assert(logstore_read(v, &everything, learn_line, l) == 0);
	assert(learn_policy(l, statics, &d) == 0);
	assert(d->network_policies.n == 1);
	logstore_view_free(v);
	policy_doc_free(d);
	policy_doc_free(statics);
	learn_free(l);
	return (now_us() - start) / 1000;
}

int main(void)
{
	auto_close int dirfd = -1;
	char command[64];
	size_t len;
	double ns, bare;

	assert(mkdtemp(dir));
	ns = format_ns(&len);
	bare = bare_write_us(len);
	result("log_event_format", ns, "ns", 0, 1000, false);
	result("log_event_flushed", logged_us(false), "us", bare, 2, true);
	result("log_event_folded", logged_us(true), "us", bare, 3, true);
	(void)snprintf(command, sizeof(command), "%s/scratch", dir);
	assert(unlink(command) == 0);
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert(dirfd >= 0);
	fill(dirfd);
	readers(dirfd);
	result("log_learn", learn_ms(dirfd), "ms", read_everything_ms(dirfd), 2000, false);
	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command) == 0 ? 0 : 1;
}
