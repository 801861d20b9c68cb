#include "lib/tuple.h"

#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"

void tuple_put(struct msg_out *m, const struct tuple *t)
{
	msg_put_u32(m, t->mode);
	msg_put_bytes(m, &t->source, sizeof(t->source));
	msg_put_u32(m, t->source_port);
	msg_put_str(m, t->host);
	msg_put_u32(m, t->port);
	msg_put_u32(m, t->pid);
	msg_put_str(m, t->binary);
	msg_put_strv(m, t->ancestors);
	msg_put_str(m, t->sha256);
	msg_put_str(m, t->denied);
	msg_put_u64(m, t->cookie);
	msg_put_str(m, t->stack);
}

bool tuple_get(struct msg_in *m, struct tuple *ret)
{
	struct tuple t = { .mode = (enum tuple_mode)msg_get_u32(m) };
	const void *source;
	size_t len = 0;

	source = msg_get_bytes(m, &len);
	t.source_port = msg_get_u32(m);
	t.host = msg_get_str(m);
	t.port = msg_get_u32(m);
	t.pid = msg_get_u32(m);
	t.binary = msg_get_str(m);
	t.ancestors = msg_get_strv(m);
	t.sha256 = msg_get_str(m);
	t.denied = msg_get_str(m);
	t.cookie = msg_get_u64(m);
	t.stack = msg_get_str(m);
	if (!msg_in_done(m) || len != sizeof(t.source)) {
		free(t.ancestors);
		return false;
	}
	memcpy(&t.source, source, len);
	*ret = t;
	return true;
}
