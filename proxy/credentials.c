#include "proxy/credentials.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/glob.h"
#include "lib/str.h"

struct endpoint {
	struct glob *host, *path; /* path NULL: every path */
	uint16_t port;
};

struct credential {
	const char *provider, *key, *secret; /* in credentials.text */
	size_t secret_len;
	struct endpoint *endpoints;
	size_t n_endpoints;
};

struct credentials {
	char *text; /* the bytes that came */
	size_t len;
	struct credential *list;
	size_t n;
};

static void credentials_free(struct credentials *cs)
{
	if (!cs)
		return;
	for (size_t i = 0; i < cs->n; i++) {
		struct credential *c = &cs->list[i];

		for (size_t k = 0; k < c->n_endpoints; k++) {
			glob_free(c->endpoints[k].host);
			glob_free(c->endpoints[k].path);
		}
		free(c->endpoints);
	}
	free(cs->list);
	if (cs->text)
		explicit_bzero(cs->text, cs->len);
	free(cs->text);
	free(cs);
}

/* --- taking them apart --- */

struct cursor {
	const char *at, *end;
};

static const char *text(struct cursor *c)
{
	const char *s = c->at, *nul = s < c->end ? memchr(s, '\0', (size_t)(c->end - s)) : NULL;

	if (!nul)
		return NULL;
	c->at = nul + 1;
	return s;
}

static int number(struct cursor *c, uint64_t max, uint64_t *ret)
{
	const char *s = text(c);

	return s && str_to_u64(s, max, ret) == 0 ? 0 : -EPROTO;
}

static int take_endpoint(struct endpoint *e, struct cursor *c)
{
	const char *host = text(c), *path, *why;
	uint64_t port;
	int r = host ? number(c, 65535, &port) : -EPROTO;

	path = r == 0 ? text(c) : NULL;
	if (!path || !port)
		return -EPROTO;
	e->port = (uint16_t)port;
	r = glob_compile(host, GLOB_HOST, &e->host, &why);
	if (r == 0 && *path)
		r = glob_compile(path, GLOB_SELECT, &e->path, &why);
	return r;
}

static int take_one(struct credential *ret, struct cursor *c)
{
	uint64_t n = 0;
	int r;

	ret->provider = text(c);
	ret->key = text(c);
	ret->secret = text(c);
	r = ret->secret ? number(c, CREDENTIAL_ENDPOINTS_MAX, &n) : -EPROTO;
	if (r < 0)
		return r;
	ret->secret_len = strlen(ret->secret);
	ret->endpoints = calloc(n + 1, sizeof(*ret->endpoints));
	if (!ret->endpoints)
		return -ENOMEM;
	for (; ret->n_endpoints < n && r == 0; ret->n_endpoints++)
		r = take_endpoint(&ret->endpoints[ret->n_endpoints], c);
	return r;
}

static int take_all(struct credentials *cs)
{
	struct cursor c = { cs->text, cs->text + cs->len };
	int r = 0;

	cs->list = calloc(CREDENTIALS_MAX, sizeof(*cs->list));
	if (!cs->list)
		return -ENOMEM;
	while (r == 0 && c.at < c.end) {
		if (cs->n == CREDENTIALS_MAX)
			return -EPROTO;
		r = take_one(&cs->list[cs->n++], &c);
	}
	return r;
}

int credentials_on_message(struct proxy *px, struct msg_in *m)
{
	struct credentials *cs = calloc(1, sizeof(*cs));
	const void *data;
	size_t len;
	int r;

	data = msg_get_bytes(m, &len);
	if (!msg_in_done(m) || !cs) {
		free(cs);
		return cs ? -EPROTO : -ENOMEM;
	}
	cs->text = malloc(len + 1);
	cs->len = len;
	if (cs->text)
		memcpy(cs->text, data, len);
	explicit_bzero(m->body, m->len);
	r = cs->text ? take_all(cs) : -ENOMEM;
	if (r < 0) {
		credentials_free(cs);
		return r;
	}
	credentials_free(px->credentials);
	px->credentials = cs;
	px->had_credentials = px->had_credentials || cs->n;
	return 0;
}

/* --- asking --- */

static bool endpoint_serves(const struct endpoint *e, const char *host, uint16_t port)
{
	return e->port == port && glob_match(e->host, host, strlen(host));
}

bool credentials_cover(const struct proxy *px, const char *host, uint16_t port)
{
	const struct credentials *cs = px->credentials;

	for (size_t i = 0; cs && i < cs->n; i++)
		for (size_t k = 0; k < cs->list[i].n_endpoints; k++)
			if (endpoint_serves(&cs->list[i].endpoints[k], host, port))
				return true;
	return false;
}

static bool may_be_used(const struct credential *c, const struct credential_use *use)
{
	if (use->provider && *use->provider && strcmp(use->provider, c->provider) == 0)
		return true;
	for (size_t k = 0; k < c->n_endpoints; k++) {
		const struct endpoint *e = &c->endpoints[k];

		if (endpoint_serves(e, use->host, use->port) &&
			(!e->path || glob_match(e->path, use->path, strlen(use->path))))
			return true;
	}
	return false;
}

int credentials_find(const struct proxy *px, const struct credential_use *use, const char *key,
	size_t len, const char **ret, size_t *ret_len)
{
	const struct credentials *cs = px->credentials;

	for (size_t i = 0; cs && i < cs->n; i++) {
		const struct credential *c = &cs->list[i];

		if (strlen(c->key) != len || memcmp(c->key, key, len) != 0)
			continue;
		if (!may_be_used(c, use))
			return -EACCES;
		*ret = c->secret;
		*ret_len = c->secret_len;
		return 0;
	}
	return -ENOKEY;
}
