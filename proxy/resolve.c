#include "proxy/resolve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "lib/str.h"

struct cached {
	char name[256];
	uint64_t until_ms;
	struct resolve_answer answer;
};

struct resolver {
	struct watch w; /* fd -1: no process yet */
	struct loop *loop;
	void (*need)(void *arg);
	void *need_arg;
	bool is_needed; /* asked for and not yet given */
	uint32_t last_id;
	unsigned int n_asking;
	TAILQ_HEAD(, resolve_query) asking;
	struct cached *cache[RESOLVE_CACHE_MAX];
	unsigned int next_slot; /* the one that goes when another comes */
};

struct resolver *resolver_new(struct loop *loop, void (*need)(void *arg), void *arg)
{
	struct resolver *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->loop = loop;
	r->need = need;
	r->need_arg = arg;
	r->w.fd = -1;
	TAILQ_INIT(&r->asking);
	return r;
}

static void close_process(struct resolver *r)
{
	if (r->w.fd < 0)
		return;
	(void)watch_set(r->loop, &r->w, 0);
	cleanup_close(&r->w.fd);
	r->w.fd = -1;
}

static struct cached *cache_find(struct resolver *r, const char *name)
{
	for (size_t i = 0; i < RESOLVE_CACHE_MAX; i++)
		if (r->cache[i] && strcmp(r->cache[i]->name, name) == 0)
			return r->cache[i];
	return NULL;
}

static void cache_put(struct resolver *r, const char *name, const struct resolve_answer *a)
{
	struct cached *c = cache_find(r, name);

	if (!c) {
		c = r->cache[r->next_slot];
		if (!c)
			c = r->cache[r->next_slot] = malloc(sizeof(*c));
		if (!c)
			return;
		r->next_slot = (r->next_slot + 1) % RESOLVE_CACHE_MAX;
		(void)str_copy(c->name, sizeof(c->name), name);
	}
	c->answer = *a;
	c->until_ms = loop_now_ms(r->loop) + RESOLVE_FRESH_MS;
}

void resolver_cancel(struct resolve_query *q)
{
	if (!q->is_asking)
		return;
	q->is_asking = false;
	timer_clear(q->resolver->loop, &q->timeout);
	TAILQ_REMOVE(&q->resolver->asking, q, link);
	q->resolver->n_asking--;
}

static void settle(struct resolve_query *q, const struct resolve_answer *a)
{
	resolver_cancel(q);
	q->fn(q, a);
}

static void fail(struct resolve_query *q, const char *why)
{
	struct resolve_answer a = { .n = 0 };

	(void)str_copy(a.error, sizeof(a.error), why);
	settle(q, &a);
}

static void on_timeout(struct loop *loop, struct timer *t)
{
	(void)loop;
	fail(container_of(t, struct resolve_query, timeout), "the resolver did not answer in time");
}

static struct resolve_query *query_of(struct resolver *r, uint32_t id)
{
	struct resolve_query *q;

	TAILQ_FOREACH(q, &r->asking, link)
		if (q->id == id)
			return q;
	return NULL;
}

static bool take_answer(struct msg_in *m, struct resolve_answer *a)
{
	uint32_t error = msg_get_u32(m);
	const char *text = msg_get_str(m);
	size_t len = 0;
	const void *addrs = msg_get_bytes(m, &len);

	if (!msg_in_done(m) || len % sizeof(a->addrs[0]) != 0)
		return false;
	a->n = error ? 0 : len / sizeof(a->addrs[0]);
	if (a->n > RESOLVED_ADDRS_MAX)
		a->n = RESOLVED_ADDRS_MAX;
	if (a->n)
		memcpy(a->addrs, addrs, a->n * sizeof(a->addrs[0]));
	else
		(void)str_copy(a->error, sizeof(a->error), text && *text ? text : "no address");
	return true;
}

/* Questions in flight are asked again of the next process; their own deadlines go on. */
static void lose_process(struct resolver *r)
{
	close_process(r);
	r->is_needed = !TAILQ_EMPTY(&r->asking);
	if (r->is_needed)
		r->need(r->need_arg);
}

static int send_question(struct resolver *r, const struct resolve_query *q)
{
	auto_msg_out struct msg_out m;

	msg_out_init(&m, RESOLVER_ASK, q->id);
	msg_put_str(&m, q->name);
	return msg_send(r->w.fd, &m);
}

/* As many as the process takes; the others when it has read some. */
static int send_questions(struct resolver *r)
{
	struct resolve_query *q;
	int rc = 0;

	TAILQ_FOREACH(q, &r->asking, link) {
		if (q->is_sent)
			continue;
		rc = send_question(r, q);
		if (rc < 0)
			break;
		q->is_sent = true;
	}
	if (rc < 0 && rc != -EAGAIN)
		return rc;
	return watch_set(r->loop, &r->w, EPOLLIN | (rc == -EAGAIN ? EPOLLOUT : 0u));
}

static void take_message(struct resolver *r)
{
	struct resolve_answer a = { .n = 0 };
	auto_msg_in struct msg_in m = { 0 };
	struct resolve_query *q;
	int n = msg_recv(r->w.fd, &m);

	if (n == -EAGAIN)
		return;
	if (n <= 0 || m.type != RESOLVER_ANSWER || !take_answer(&m, &a)) {
		lose_process(r);
		return;
	}
	q = query_of(r, m.id);
	if (!q)
		return;
	if (a.n)
		cache_put(r, q->name, &a);
	settle(q, &a);
}

static void on_process(struct loop *loop, struct watch *w, uint32_t events)
{
	struct resolver *r = container_of(w, struct resolver, w);

	(void)loop;
	if ((events & EPOLLOUT) && send_questions(r) < 0)
		lose_process(r);
	else if (events & ~(uint32_t)EPOLLOUT)
		take_message(r);
}

int resolver_attach(struct resolver *r, int fd)
{
	struct resolve_query *q;
	int rc;

	close_process(r);
	watch_init(&r->w, fd, on_process, NULL);
	r->is_needed = false;
	TAILQ_FOREACH(q, &r->asking, link)
		q->is_sent = false;
	/* Nobody else may have to wait for it. */
	rc = fd_set_nonblock(fd, true);
	return rc < 0 ? rc : send_questions(r);
}

static int ask_process(struct resolver *r)
{
	if (r->w.fd >= 0)
		return send_questions(r);
	if (!r->is_needed) {
		r->is_needed = true;
		r->need(r->need_arg);
	}
	return 0;
}

int resolver_ask(struct resolver *r, struct resolve_query *q, const char *name, resolve_fn *fn,
	struct resolve_answer *ret)
{
	struct cached *c = cache_find(r, name);
	int rc;

	if (c && c->until_ms > loop_now_ms(r->loop)) {
		*ret = c->answer;
		return 1;
	}
	if (r->n_asking >= RESOLVES_MAX)
		return -EBUSY;
	*q = (struct resolve_query){ .id = ++r->last_id, .fn = fn, .resolver = r };
	q->timeout.on_time = on_timeout;
	if (!str_copy(q->name, sizeof(q->name), name))
		return -ENAMETOOLONG;
	rc = timer_set(r->loop, &q->timeout, RESOLVE_MS);
	if (rc < 0)
		return rc;
	q->is_asking = true;
	TAILQ_INSERT_TAIL(&r->asking, q, link);
	r->n_asking++;
	rc = ask_process(r);
	if (rc < 0)
		resolver_cancel(q);
	return rc;
}
