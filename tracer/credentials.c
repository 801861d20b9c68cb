#include "tracer/credentials.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/proto.h"
#include "lib/strv.h"
#include "tracer/control.h"
#include "tracer/sandbox.h"

void credentials_done(struct credentials *cr)
{
	if (cr->secrets)
		explicit_bzero(cr->secrets, cr->len);
	free(cr->secrets);
	strv_free(cr->env);
	*cr = (struct credentials){ 0 };
}

int credentials_tell(struct sandbox *s)
{
	struct msg_out m;
	int r;

	if (!s->credentials.secrets)
		return 0;
	msg_out_init(&m, PROXY_CREDENTIALS, 0);
	msg_put_bytes(&m, s->credentials.secrets, s->credentials.len);
	r = msg_send(s->proxy_link.fd, &m);
	msg_out_wipe(&m);
	return r;
}

static int take(struct credentials *ret, struct msg_in *m, uint32_t *ret_answer)
{
	auto_free char **env = msg_get_strv(m);
	size_t len;
	const void *secrets = msg_get_bytes(m, &len);
	int r;

	*ret_answer = msg_get_u32(m);
	if (!msg_in_done(m) || !env)
		return -EPROTO;
	r = strv_push_n(&ret->env, env, strv_len(env));
	ret->secrets = r == 0 ? malloc(len + 1) : NULL;
	ret->len = len;
	if (!ret->secrets)
		return -ENOMEM;
	memcpy(ret->secrets, secrets, len);
	explicit_bzero(m->body, m->len);
	return 0;
}

void credentials_take(struct sandbox *s, struct control *c, struct msg_in *m)
{
	struct credentials fresh = { 0 };
	auto_msg_out struct msg_out done = { 0 };
	uint32_t answer = 0;
	int r = take(&fresh, m, &answer);

	if (r == 0) {
		credentials_done(&s->credentials);
		s->credentials = fresh;
		r = s->proxy.pid ? credentials_tell(s) : 0;
	} else {
		credentials_done(&fresh);
	}
	if (r < 0) {
		control_failed(c, m->id, r, 1, NULL, "credentials: %s", err_name(r));
		return;
	}
	if (!answer)
		return;
	msg_out_init(&done, CTL_DONE, m->id);
	control_send(c, &done);
}
