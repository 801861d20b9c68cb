/* Nanoseconds to parse a 500 byte request head, to canonicalise its target, to write it anew. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/buf.h"
#include "lib/http1.h"

enum { ROUNDS = 200000 };

static const char head[] =
	"GET /repos/octocat/hello-world/issues?state=open&per_page=100 HTTP/1.1\r\n"
	"Host: api.github.com\r\n"
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)\r\n"
	"Accept: application/vnd.github+json,application/json;q=0.9,*/*;q=0.8\r\n"
	"Accept-Language: en-US,en;q=0.5\r\n"
	"Accept-Encoding: gzip, deflate, br\r\n"
	"Authorization: Bearer 0123456789abcdef0123456789abcdef01234567\r\n"
	"X-GitHub-Api-Version: 2022-11-28\r\n"
	"Connection: keep-alive\r\n"
	"If-None-Match: \"0123456789abcdef0123456789abcdef\"\r\n"
	"Cache-Control: max-age=0\r\n\r\n";

static double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void report(const char *what, double since)
{
	printf("BENCH %s %.0f ns - - - info a head of %zu bytes, mean of %d\n", what, (now() - since) / ROUNDS,
		sizeof(head) - 1, ROUNDS);
}

int main(void)
{
	static struct http1_request r;
	static struct url_target t;
	struct http1_send s = { .default_port = 443 };
	const char *why;
	struct buf out;
	double start;
	int ok = 0;

	start = now();
	for (int i = 0; i < ROUNDS; i++) {
		size_t scan = 0;

		ok += http1_head_find(head, sizeof(head) - 1, HTTP1_HEAD_MAX, &scan, &why) > 0;
	}
	report("http1_head_find", start);
	start = now();
	for (int i = 0; i < ROUNDS; i++)
		ok += http1_request_parse(&r, head, sizeof(head) - 1, &why) == 0;
	report("http1_request_parse", start);
	start = now();
	for (int i = 0; i < ROUNDS; i++)
		ok += url_canonicalize(r.target, r.target_len, 0, &t, &why) == 0;
	report("url_canonicalize", start);
	s.method = r.method;
	s.path = t.path;
	s.authority = &r.authority;
	buf_init(&out, 65536);
	start = now();
	for (int i = 0; i < ROUNDS; i++) {
		buf_reset(&out);
		ok += http1_request_write(&out, &s, r.fields.list, r.fields.n) == 0;
	}
	report("http1_request_write", start);
	buf_done(&out);
	return ok == 4 * ROUNDS ? 0 : 1;
}
