/*
 * The two TLS contexts of the process: the one that answers clients, with leaves of the sandbox's
 * authority, and the one that talks to real servers and verifies them. Both are made when the
 * first connection needs them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <openssl/ssl.h>

#include "proxy/ca.h"
#include "proxy/trust.h"

struct tls;

/* Both are borrowed and must outlive it. NULL when out of memory. */
struct tls *tls_new(struct ca *ca, struct trust *trust);

/*
 * What the ClientHello said, and what the leaf is chosen from. Embedded in the connection; @host
 * (canonical, where the client wanted to go) is set before the handshake.
 */
struct tls_hello {
	struct tls *tls;
	const char *host;
	char sni[256];	   /* canonical; "" when there was none */
	bool is_bad_sni;   /* there was one, but it is no host name */
	bool h2;	   /* the client offers HTTP/2 */
	bool allow_h2;	   /* set before the handshake: h2 may be chosen */
};

/* A session that will accept; @hello must outlive it. NULL when out of memory. */
SSL *tls_accept_new(struct tls *t, struct tls_hello *hello);

/*
 * A session that will connect to @host, whose certificate has to be valid for it; @session
 * (may be NULL) is offered for resumption, HTTP/2 with @offer_h2.
 */
SSL *tls_connect_new(struct tls *t, const char *host, SSL_SESSION *session, bool offer_h2);
/* Whether the peers agreed on HTTP/2. */
bool tls_chose_h2(const SSL *ssl);
/* Called with each session that a server gives; @fn owns it. @arg is what tls_set_arg() set. */
void tls_on_session(struct tls *t, void (*fn)(void *arg, SSL_SESSION *session));
void tls_set_arg(SSL *ssl, void *arg);
