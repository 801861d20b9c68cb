/*
 * --upstream-proxy: connections to the outside go through a corporate proxy, as tunnels (CONNECT).
 *
 * The operator names it, so it may be a private address. The destination's name goes to it
 * unresolved: where such a proxy is needed, names outside are often known to it alone. What
 * addresses it will reach is therefore its decision; literal addresses are checked here as ever.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/netaddr.h"

enum { CHAIN_EXCEPTIONS_MAX = 128, CHAIN_ANSWER_MAX = 8192 };

struct chain;

/*
 * @url: http://[USER:PASSWORD@]HOST[:PORT]; @no_proxy (may be NULL): names, .suffixes, addresses
 * and prefixes, each with an optional :PORT, separated by commas or blanks; "*" means all. 0, or
 * -EINVAL with @err, -ENOMEM. The password is percent-decoded, kept encoded for the header alone.
 */
int chain_parse(const char *url, const char *no_proxy, struct chain **ret, struct err *err);
void chain_free(struct chain *ch);

const char *chain_host(const struct chain *ch);
uint16_t chain_port(const struct chain *ch);
/* Whether a connection to @host:@port goes through the proxy; NULL chain: no. */
bool chain_applies(const struct chain *ch, const char *host, uint16_t port);
/* Appends the CONNECT request. 0 or what buf_append() says. */
int chain_request(struct buf *out, const struct chain *ch, const char *host, uint16_t port);
