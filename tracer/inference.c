#include "tracer/inference.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "lib/proto.h"
#include "tracer/control.h"
#include "tracer/sandbox.h"

void inference_done(struct inference *in)
{
	if (in->route)
		explicit_bzero(in->route, in->len);
	free(in->route);
	*in = (struct inference){ 0 };
}

static int tell(struct sandbox *s)
{
	struct msg_out m;
	int r;

	msg_out_init(&m, PROXY_INFERENCE, 0);
	msg_put_bytes(&m, s->inference.route, s->inference.len);
	r = msg_send(s->proxy_link.fd, &m);
	msg_out_wipe(&m);
	return r;
}

int inference_tell(struct sandbox *s)
{
	return s->inference.route ? tell(s) : 0;
}

static int take(struct inference *ret, struct msg_in *m, uint32_t *ret_answer)
{
	size_t len;
	const void *route = msg_get_bytes(m, &len);

	*ret_answer = msg_get_u32(m);
	if (!msg_in_done(m))
		return -EPROTO;
	if (!len)
		return 0;
	ret->route = malloc(len);
	if (!ret->route)
		return -ENOMEM;
	memcpy(ret->route, route, len);
	ret->len = len;
	explicit_bzero(m->body, m->len);
	return 0;
}

static void say(struct sandbox *s)
{
	sandbox_say(s, EVENT_INFO, "inference.local %s", s->inference.route ? "has a route" : "has no route any more");
}

void inference_take(struct sandbox *s, struct control *c, struct msg_in *m)
{
	struct inference fresh = { 0 };
	auto_msg_out struct msg_out done = { 0 };
	uint32_t answer = 0;
	int r = take(&fresh, m, &answer);

	if (r == 0) {
		inference_done(&s->inference);
		s->inference = fresh;
		r = s->proxy.pid ? tell(s) : 0;
	}
	if (r < 0) {
		control_failed(c, m->id, r, 1, NULL, "inference: %s", err_name(r));
		return;
	}
	say(s);
	if (!answer)
		return;
	msg_out_init(&done, CTL_DONE, m->id);
	control_send(c, &done);
}
