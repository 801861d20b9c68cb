#include "proxy/inspect.h"

#include <errno.h>

bool inspect_wants_body(const struct inspection *in, const struct http1_request *rq)
{
	(void)rq;
	return in->body_max > 0 || in->websocket_text || in->redact;
}

int inspect_body(struct conn *c, const struct inspection *in, const struct http1_request *rq,
	const char **rest, size_t *len, struct request *facts, struct inspected *ret,
	const char **ret_why)
{
	(void)c;
	(void)in;
	(void)rq;
	(void)rest;
	(void)len;
	(void)facts;
	(void)ret;
	*ret_why = "this endpoint's bodies cannot be inspected by this build";
	return -EBADMSG;
}
