/*
 * openshell-proxy - carries every byte between the sandbox and the network.
 *
 * May: hold sockets it was given or opened towards addresses the policy allows; append to the log.
 * May not, once isolate_final() has returned: open files, run programs, see other processes, or
 * reach an address that was not checked.
 *
 * Started by the supervisor with a socketpair at PROXY_FD (lib/proto.h) and nothing else. It ends
 * when the supervisor does.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <time.h>

#include <jansson.h>

#include "lib/err.h"
#include "lib/instrument.h"
#include "proxy/conn.h"
#include "proxy/crypto.h"
#include "proxy/link.h"
#include "proxy/proxy.h"

#ifdef __SANITIZE_ADDRESS__
/* What looking for leaks and naming lines takes is what this process has given up (lib/instrument.h). */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0:symbolize=0";
}
#endif

/* What it takes to wake somebody who sleeps on another processor, or a little more. */
enum { POLL_US = 20 };

static struct proxy proxy;

/* End of a turn: the decisions are written, then they take effect, then what those logged. */
static void after_turn(struct loop *loop, void *arg)
{
	struct proxy *px = arg;

	(void)loop;
	if (!px->log)
		return;
	conns_commit_all(px);
	(void)log_flush(px->log);
}

static int begin(struct proxy *px)
{
	TAILQ_INIT(&px->idle_legs);
	TAILQ_INIT(&px->backs);
	TAILQ_INIT(&px->conns);
	TAILQ_INIT(&px->tupleless);
	TAILQ_INIT(&px->commits);
	LIST_INIT(&px->asks);
	buf_init(&px->writing, WRITING_MAX);
	px->loop = loop_new();
	if (!px->loop)
		return -ENOMEM;
	loop_set_after_turn(px->loop, after_turn, px);
	loop_set_polling(px->loop, POLL_US);
	return link_begin(px);
}

int main(void)
{
	time_t now = time(NULL);
	struct tm tm;
	int r;
	size_t seed = 1;

	instrument_begin();
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	(void)signal(SIGPIPE, SIG_IGN);
	/* OpenSSL converts times with this; the first call reads the time zone, later ones nothing. */
	(void)gmtime_r(&now, &tm);
	/* Else jansson opens /dev/urandom when it makes its first table. */
	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		return 1;
	json_object_seed(seed | 1);
	crypto_init();
	r = begin(&proxy);
	if (r == 0)
		r = loop_run(proxy.loop);
	(void)fprintf(stderr, "openshell-proxy: %s\n", err_name(r));
	return 1;
}
