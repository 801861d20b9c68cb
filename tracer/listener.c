#include "tracer/listener.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/kernel.h"
#include "tracer/notify.h"

struct listener {
	struct call_source source;
	size_t req_size, resp_size; /* as this kernel has them */
	struct seccomp_notif *req;
	struct seccomp_notif_resp *resp;
};

static struct listener *listener_of(struct call_source *src)
{
	return container_of(src, struct listener, source);
}

static bool receive(struct call_source *src, struct call *ret)
{
	struct listener *l = listener_of(src);

	memset(l->req, 0, l->req_size);
	/* ENOENT: the caller was killed meanwhile. */
	if (ioctl(src->fd, SECCOMP_IOCTL_NOTIF_RECV, l->req) < 0)
		return false;
	*ret = (struct call){ .req = *l->req, .held = -1 };
	return true;
}

/* RECV blocks when there is nothing, so it is asked for each one. */
static bool has_more(struct call_source *src)
{
	struct pollfd p = { .fd = src->fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1 && p.revents & POLLIN;
}

static bool is_valid(struct call_source *src, const struct call *c)
{
	uint64_t id = c->req.id;

	return ioctl(src->fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

static void respond(struct call_source *src, const struct call *c, const struct answer *a)
{
	struct listener *l = listener_of(src);

	memset(l->resp, 0, l->resp_size);
	l->resp->id = c->req.id;
	if (a->kind == ANSWER_CONTINUE)
		l->resp->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	else if (a->kind == ANSWER_VALUE)
		l->resp->val = a->value;
	else
		l->resp->error = (int32_t)a->value;
	(void)ioctl(src->fd, SECCOMP_IOCTL_NOTIF_SEND, l->resp);
}

/* gcc 12: the source lies within what is freed by it. */
ANALYZER_OFF("-Wanalyzer-malloc-leak")
static void listener_free(struct call_source *src)
{
	struct listener *l = listener_of(src);

	cleanup_close(&src->fd);
	free(l->req);
	free(l->resp);
	free(l);
}
ANALYZER_ON

static const struct call_source_ops ops = { receive, has_more, is_valid, respond, listener_free };

static int allocate(struct listener *l)
{
	struct seccomp_notif_sizes sizes;

	if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0)
		return -errno;
	l->req_size = sizes.seccomp_notif > sizeof(*l->req) ? sizes.seccomp_notif : sizeof(*l->req);
	l->resp_size = sizes.seccomp_notif_resp > sizeof(*l->resp) ? sizes.seccomp_notif_resp
								   : sizeof(*l->resp);
	l->req = calloc(1, l->req_size);
	l->resp = calloc(1, l->resp_size);
	return l->req && l->resp ? 0 : -ENOMEM;
}

/* gcc 12: the source lies within what is freed by it. */
ANALYZER_OFF("-Wanalyzer-malloc-leak")
struct call_source *listener_open(int fd, struct err *err)
{
	struct listener *l = calloc(1, sizeof(*l));
	int r;

	if (!l) {
		(void)close(fd);
		(void)err_set(err, -ENOMEM, "%s", err_name(-ENOMEM));
		return NULL;
	}
	l->source = (struct call_source){ .ops = &ops, .fd = fd };
	/* Worth an order of magnitude where the kernel has it: the waker hands over its CPU. */
	(void)kernel_sync_wake_up(fd);
	r = allocate(l);
	if (r == 0)
		return &l->source;
	(void)err_set(err, r, "seccomp notifications: %s", err_name(r));
	listener_free(&l->source);
	return NULL;
}
ANALYZER_ON
