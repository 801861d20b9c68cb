#include "lib/inference_route.h"

#include <errno.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/netaddr.h"
#include "lib/str.h"

static const struct inference_type types[] = {
	{ "openai", INFERENCE_OPENAI, "https://api.openai.com/v1", "OPENAI_BASE_URL", "OPENAI_API_KEY", NULL },
	{ "anthropic", INFERENCE_ANTHROPIC, "https://api.anthropic.com/v1", "ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY",
		NULL },
	{ "nvidia", INFERENCE_OPENAI, "https://integrate.api.nvidia.com/v1", "NVIDIA_BASE_URL", "NVIDIA_API_KEY",
		NULL },
	{ "deepinfra", INFERENCE_OPENAI, "https://api.deepinfra.com/v1/openai", "DEEPINFRA_BASE_URL",
		"DEEPINFRA_API_KEY", NULL },
	{ "aws-bedrock", INFERENCE_BEDROCK, NULL, "BEDROCK_BASE_URL", "AWS_SECRET_ACCESS_KEY", NULL },
	{ "generic", INFERENCE_OPENAI, NULL, "OPENAI_BASE_URL", NULL, NULL },
	{ "google-vertex-ai", INFERENCE_OPENAI, NULL, NULL, NULL,
		"its tokens are minted for an hour, and this version knows static credentials" },
	{ "google-cloud", INFERENCE_OPENAI, NULL, NULL, NULL,
		"its tokens are minted for an hour, and this version knows static credentials" },
};

const struct inference_type *inference_type(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (str_eq(types[i].name, name))
			return &types[i];
	return NULL;
}

/* --- base URLs --- */

bool inference_is_local(const struct inference_route *r)
{
	const char *host = r->server.host;
	struct netaddr a;

	if (str_eq(host, "localhost") || str_eq(host, "host.openshell.internal"))
		return true;
	return netaddr_parse(host, &a) == 0 && str_eq(netaddr_range_name(&a), "loopback");
}

/* Of a name nobody knows yet what it reaches: the proxy looks when it does. */
static bool may_be_private(const struct inference_route *r)
{
	struct netaddr a;

	return netaddr_parse(r->server.host, &a) < 0 || netaddr_classify(&a) != NETADDR_PUBLIC;
}

/* A literal that is nobody's server: link-local, and so what clouds tell their machines. */
static bool is_forbidden(const struct inference_route *r)
{
	struct netaddr a;

	return netaddr_parse(r->server.host, &a) == 0 && netaddr_classify(&a) == NETADDR_BLOCKED &&
	       !inference_is_local(r);
}

static int check_path(struct inference_route *r, const char *path, size_t n, struct err *err)
{
	struct url_target t;
	const char *why;

	while (n && path[n - 1] == '/')
		n--;
	if (n > INFERENCE_BASE_MAX)
		return err_set(err, -EINVAL, "base_url: the path is too long");
	if (!n) {
		r->base[0] = '\0';
		return 0;
	}
	if (url_canonicalize(path, n, 0, &t, &why) < 0 || t.path_len != n || memcmp(t.path, path, n) != 0)
		return err_set(err, -EINVAL, "base_url: the path is not in its canonical form");
	memcpy(r->base, path, n);
	r->base[n] = '\0';
	return 0;
}

int inference_base_parse(struct inference_route *r, const char *url, struct err *err)
{
	struct url_absolute parts;
	const char *why = "it is no http:// or https:// URL";
	int e = url_absolute_split(url, strlen(url), &parts, &why);

	if (e == 0)
		e = url_authority_parse(parts.authority, parts.authority_len, &r->server, &why);
	if (e != 0)
		return err_set(err, -EINVAL, "base_url: %s", why);
	if (strpbrk(parts.rest, "?#"))
		return err_set(err, -EINVAL, "base_url: a query or a fragment is not for all requests");
	r->is_tls = parts.is_https;
	if (!r->server.port)
		r->server.port = r->is_tls ? 443 : 80;
	if (is_forbidden(r))
		return err_set(err, -EINVAL, "base_url: no server is dialled at %s", r->server.host);
	if (!r->is_tls && !may_be_private(r))
		return err_set(err, -EINVAL, "base_url: a credential is not sent without TLS but to private addresses");
	return check_path(r, parts.rest, parts.rest_len, err);
}

/* --- who asks --- */

int inference_credential_put(struct buf *out, const struct inference_route *r)
{
	const struct inference_type *t = inference_type(r->type);

	if (!r->secret[0])
		return 0;
	if (!t)
		return -EINVAL;
	return buf_printf(out, t->style == INFERENCE_ANTHROPIC ? "x-api-key: %s" : "Authorization: Bearer %s", r->secret);
}

/* --- bytes --- */

static int put(struct buf *out, const char *s)
{
	return buf_append(out, s, strlen(s) + 1);
}

static int put_number(struct buf *out, unsigned int n)
{
	int r = buf_printf(out, "%u", n);

	return r == 0 ? buf_putc(out, '\0') : r;
}

int inference_route_put(struct buf *out, const struct inference_route *r)
{
	const char *const texts[] = { r->provider, r->type, r->model, r->server.host, r->base, r->region, r->secret,
		r->key_id, r->token };
	const unsigned int numbers[] = { r->server.port, r->is_tls, r->is_own, r->timeout_s };
	int e = 0;

	for (size_t i = 0; i < ARRAY_SIZE(texts) && e == 0; i++)
		e = put(out, texts[i]);
	for (size_t i = 0; i < ARRAY_SIZE(numbers) && e == 0; i++)
		e = put_number(out, numbers[i]);
	return e;
}

struct cursor {
	const char *at, *end;
	bool is_bad;
};

static const char *text(struct cursor *c)
{
	const char *s = c->at, *nul = s < c->end ? memchr(s, '\0', (size_t)(c->end - s)) : NULL;

	c->is_bad |= !nul;
	if (nul)
		c->at = nul + 1;
	return nul ? s : "";
}

static void take(struct cursor *c, char *ret, size_t size)
{
	c->is_bad |= !str_copy(ret, size, text(c));
}

static uint64_t number(struct cursor *c, uint64_t max)
{
	uint64_t n = 0;

	c->is_bad |= str_to_u64(text(c), max, &n) < 0;
	return n;
}

int inference_route_get(struct inference_route *r, const char *data, size_t len)
{
	struct cursor c = { data, data + len, false };
	const char *host, *why;

	take(&c, r->provider, sizeof(r->provider));
	take(&c, r->type, sizeof(r->type));
	take(&c, r->model, sizeof(r->model));
	host = text(&c);
	c.is_bad |= url_host_parse(host, strlen(host), &r->server, &why) < 0;
	take(&c, r->base, sizeof(r->base));
	take(&c, r->region, sizeof(r->region));
	take(&c, r->secret, sizeof(r->secret));
	take(&c, r->key_id, sizeof(r->key_id));
	take(&c, r->token, sizeof(r->token));
	r->server.port = (uint16_t)number(&c, 65535);
	r->is_tls = number(&c, 1);
	r->is_own = number(&c, 1);
	r->timeout_s = (uint32_t)number(&c, INFERENCE_TIMEOUT_MAX_S);
	return c.is_bad || c.at != c.end || !r->server.port || !r->timeout_s || !inference_type(r->type) ? -EPROTO : 0;
}
