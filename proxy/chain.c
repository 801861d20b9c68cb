#include "proxy/chain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "lib/cleanup.h"
#include "lib/str.h"
#include "lib/url.h"

enum { AUTH_MAX = 512 };

/* One entry of --no-proxy. */
struct exception {
	char host[URL_HOST_MAX + 1]; /* "" for a prefix; without leading dot */
	bool is_suffix, is_all, is_prefix;
	struct netprefix prefix;
	uint16_t port; /* 0: any */
};

struct chain {
	struct url_authority at;
	char auth[4 * ((AUTH_MAX + 2) / 3) + 1]; /* base64 of user:password; "" for none */
	struct exception list[CHAIN_EXCEPTIONS_MAX];
	size_t n;
};

void chain_free(struct chain *ch)
{
	if (!ch)
		return;
	OPENSSL_cleanse(ch->auth, sizeof(ch->auth));
	free(ch);
}

DEFINE_CLEANUP(chain, chain_free)

static int set_auth(struct chain *ch, const char *text, size_t len)
{
	char plain[AUTH_MAX];
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (n == sizeof(plain))
			return -EINVAL;
		if (text[i] == '%' && i + 2 < len && str_hex_digit(text[i + 1]) >= 0 &&
			str_hex_digit(text[i + 2]) >= 0) {
			plain[n++] = (char)(str_hex_digit(text[i + 1]) << 4 | str_hex_digit(text[i + 2]));
			i += 2;
		} else {
			plain[n++] = text[i];
		}
	}
	(void)EVP_EncodeBlock((unsigned char *)ch->auth, (unsigned char *)plain, (int)n);
	OPENSSL_cleanse(plain, sizeof(plain));
	return 0;
}

static int parse_url(struct chain *ch, const char *url, struct err *err)
{
	const char *p = url + strlen("http://"), *end, *at, *why = NULL;
	int r;

	if (!str_starts(url, "http://"))
		return err_set(err, -EINVAL, "an upstream proxy is given as http://HOST:PORT");
	end = p + strcspn(p, "/?#");
	at = memrchr(p, '@', (size_t)(end - p));
	if (at && set_auth(ch, p, (size_t)(at - p)) < 0)
		return err_set(err, -EINVAL, "the user information of the upstream proxy is too long");
	p = at ? at + 1 : p;
	r = url_authority_parse(p, (size_t)(end - p), &ch->at, &why);
	if (r < 0)
		/* Not shown: what is no host may be the beginning of a password with a "/" in it. */
		return err_set(err, -EINVAL, "the upstream proxy is not http://HOST:PORT: %s", why);
	if (!ch->at.port)
		ch->at.port = 80;
	return 0;
}

/* A bare IPv6 address or prefix has colons of its own: only what follows a bracket is a port. */
static int split_port(const char *text, struct exception *e, char *host, size_t size)
{
	const char *colon = strrchr(text, ':');
	uint64_t port = 0;
	size_t len = strlen(text);

	if (colon && (strchr(text, ':') == colon || colon[-1] == ']')) {
		if (str_to_u64(colon + 1, 65535, &port) < 0)
			return -EINVAL;
		len = (size_t)(colon - text);
	}
	e->port = (uint16_t)port;
	if (*text == '[' && len > 2 && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	return str_format(host, size, "%.*s", (int)len, text) ? 0 : -EINVAL;
}

static int parse_exception(const char *text, struct exception *e)
{
	struct url_authority a;
	const char *why;
	char host[URL_HOST_MAX + 8];
	const char *name = host;

	if (split_port(text, e, host, sizeof(host)) < 0)
		return -EINVAL;
	if (strcmp(host, "*") == 0) {
		e->is_all = true;
		return 0;
	}
	if (netprefix_parse(host, &e->prefix) == 0) {
		e->is_prefix = true;
		return 0;
	}
	if (str_starts(name, "*."))
		name++;
	/* As everywhere: "example.com" means itself and what is below it, ".example.com" too. */
	e->is_suffix = true;
	name += *name == '.';
	if (url_host_parse(name, strlen(name), &a, &why) < 0)
		return -EINVAL;
	return str_copy(e->host, sizeof(e->host), a.host) ? 0 : -EINVAL;
}

static int parse_exceptions(struct chain *ch, const char *text, struct err *err)
{
	auto_free char *copy = strdup(text);
	char *save = NULL;

	if (!copy)
		return -ENOMEM;
	for (char *one = strtok_r(copy, ", \t", &save); one; one = strtok_r(NULL, ", \t", &save)) {
		if (ch->n == CHAIN_EXCEPTIONS_MAX)
			return err_set(err, -EINVAL, "no-proxy has more than %d entries",
				CHAIN_EXCEPTIONS_MAX);
		if (parse_exception(one, &ch->list[ch->n]) < 0)
			return err_set(err, -EINVAL, "no-proxy entry '%s' is no host, address or prefix",
				one);
		ch->n++;
	}
	return 0;
}

int chain_parse(const char *url, const char *no_proxy, struct chain **ret, struct err *err)
{
	__attribute__((cleanup(cleanup_chain))) struct chain *ch = calloc(1, sizeof(*ch));
	int r;

	if (!ch)
		return -ENOMEM;
	r = parse_url(ch, url, err);
	if (r == 0 && no_proxy)
		r = parse_exceptions(ch, no_proxy, err);
	if (r == 0)
		*ret = take_ptr(ch);
	return r;
}

const char *chain_host(const struct chain *ch)
{
	return ch->at.host;
}

uint16_t chain_port(const struct chain *ch)
{
	return ch->at.port;
}

static bool is_below(const char *host, const char *domain)
{
	size_t h = strlen(host), d = strlen(domain);

	return h >= d && strcmp(host + h - d, domain) == 0 && (h == d || host[h - d - 1] == '.');
}

static bool is_excepted(const struct exception *e, const char *host, uint16_t port,
	const struct netaddr *literal)
{
	if (e->port && e->port != port)
		return false;
	if (e->is_all)
		return true;
	if (e->is_prefix)
		return literal && netprefix_contains(&e->prefix, literal);
	return is_below(host, e->host);
}

bool chain_applies(const struct chain *ch, const char *host, uint16_t port)
{
	struct netaddr addr;
	const struct netaddr *literal = netaddr_parse(host, &addr) == 0 ? &addr : NULL;

	if (!ch)
		return false;
	for (size_t i = 0; i < ch->n; i++)
		if (is_excepted(&ch->list[i], host, port, literal))
			return false;
	return true;
}

int chain_request(struct buf *out, const struct chain *ch, const char *host, uint16_t port)
{
	bool is_v6 = strchr(host, ':');
	const char *open = is_v6 ? "[" : "", *close = is_v6 ? "]" : "";
	int r = buf_printf(out, "CONNECT %s%s%s:%u HTTP/1.1\r\nHost: %s%s%s:%u\r\n", open, host, close,
		port, open, host, close, port);

	if (r == 0 && ch->auth[0])
		r = buf_printf(out, "Proxy-Authorization: Basic %s\r\n", ch->auth);
	return r < 0 ? r : buf_puts(out, "\r\n");
}
