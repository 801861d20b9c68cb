#include "lib/barred.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/glob.h"
#include "lib/str.h"
#include "lib/url.h"

struct entry {
	char *text;
	struct glob *host;
	uint16_t port; /* 0: all */
};

struct barred {
	size_t n;
	struct entry list[];
};

void barred_free(struct barred *b)
{
	for (size_t i = 0; b && i < b->n; i++) {
		free(b->list[i].text);
		glob_free(b->list[i].host);
	}
	free(b);
}

/* The canonical form: a pattern in lower case without a final dot, else what url_host_parse() says.
 */
static int canonical(const char *text, size_t len, char ret[URL_HOST_MAX + 1], const char **ret_why)
{
	struct url_authority a;

	*ret_why = "not a host";
	if (!memchr(text, '*', len)) {
		int r = url_host_parse(text, len, &a, ret_why);

		if (r == 0)
			(void)str_copy(ret, URL_HOST_MAX + 1, a.host);
		return r;
	}
	if (len > URL_HOST_MAX || text[strspn(text, "*.")] == '\0')
		return -EINVAL;
	memcpy(ret, text, len);
	ret[len] = '\0';
	str_lower(ret);
	if (ret[len - 1] == '.')
		ret[len - 1] = '\0';
	return 0;
}

/* Where the host of "HOST:PORT" ends; the whole text when no port follows. */
static size_t host_length(const char *text)
{
	const char *colon = strrchr(text, ':'), *bracket = strrchr(text, ']');
	bool is_bare_ipv6 = colon && !bracket && strchr(text, ':') != colon;

	return !colon || is_bare_ipv6 || (bracket && bracket > colon) ? strlen(text)
								      : (size_t)(colon - text);
}

static int entry_init(struct entry *e, const char *text, struct err *err)
{
	size_t len = host_length(text);
	char host[URL_HOST_MAX + 1];
	const char *why = "not a host";
	uint64_t port = 0;
	int r = 0;

	if (text[len] && (str_to_u64(text + len + 1, 65535, &port) < 0 || !port))
		return err_set(err, -EINVAL, "'%.128s': the port is not between 1 and 65535", text);
	r = canonical(text, len, host, &why);
	if (r == 0)
		r = glob_compile(host, GLOB_HOST, &e->host, &why);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return err_set(err, -EINVAL, "'%.128s': %s", text, why);
	e->port = (uint16_t)port;
	e->text = strdup(text);
	return e->text ? 0 : -ENOMEM;
}

int barred_new(char *const *list, struct barred **ret, struct err *err)
{
	struct barred *b;
	size_t n = 0;
	int r = 0;

	while (list && list[n])
		n++;
	b = calloc(1, sizeof(*b) + n * sizeof(b->list[0]));
	if (!b)
		return -ENOMEM;
	for (b->n = 0; r == 0 && b->n < n; b->n++)
		r = entry_init(&b->list[b->n], list[b->n], err);
	if (r < 0) {
		barred_free(b);
		return r;
	}
	*ret = b;
	return 0;
}

const char *barred_find(const struct barred *b, const char *host, uint16_t port)
{
	for (size_t i = 0; b && i < b->n; i++)
		if ((!b->list[i].port || b->list[i].port == port) &&
			glob_match(b->list[i].host, host, strlen(host)))
			return b->list[i].text;
	return NULL;
}
