/* Targets, queries, authorities and addresses: what is accepted must be a fixed point. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/netaddr.h"
#include "lib/url.h"

static void try_target(const char *s, size_t len, unsigned int flags)
{
	static struct url_target t, again;
	static struct url_query q;
	const char *why;

	if (url_canonicalize(s, len, flags, &t, &why) < 0)
		return;
	assert(t.path[0] == '/' && strlen(t.path) == t.path_len && !strstr(t.path, "//"));
	assert(!strstr(t.path, "/../") && !strstr(t.path, "/./"));
	assert(url_canonicalize(t.path, t.path_len, flags, &again, &why) == 0);
	assert(strcmp(t.path, again.path) == 0 && !again.is_rewritten);
	(void)url_query_parse(&q, t.query, t.query_len, &why);
}

static void try_authority(const char *s, size_t len)
{
	struct url_authority a, again;
	const char *why;

	if (url_authority_parse(s, len, &a, &why) < 0)
		return;
	assert(url_host_parse(a.host, strlen(a.host), &again, &why) == 0);
	assert(strcmp(a.host, again.host) == 0);
	assert(a.is_ipv4 == again.is_ipv4 && a.is_ipv6 == again.is_ipv6);
}

static void try_address(const char *s, size_t len)
{
	auto_free char *text = strndup(s, len);
	char again[NETADDR_TEXT_MAX];
	struct netaddr a, b;
	struct netprefix p;

	if (netaddr_parse(text, &a) == 0) {
		assert(netaddr_parse(netaddr_format(&a, again, sizeof(again)), &b) == 0);
		assert(netaddr_equal(&a, &b) && netaddr_classify(&a) == netaddr_classify(&b));
	}
	if (netprefix_parse(text, &p) == 0)
		assert(netprefix_contains(&p, &p.addr));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	try_target(
		(const char *)data + 1, size - 1, data[0] & (URL_ENCODED_SLASH | URL_KEEP_PARAMS));
	try_authority((const char *)data + 1, size - 1);
	try_address((const char *)data + 1, size - 1);
	return 0;
}
