#include "proxy/tls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/ssl.h>
#include <openssl/tls1.h>
#include <openssl/x509v3.h>

#include "lib/netaddr.h"
#include "lib/str.h"
#include "lib/url.h"
#include "proxy/limits.h"

/* AES-128 first: as strong as the P-256 key exchange around it, and a fifth faster than AES-256. */
static const char suites_13[] =
	"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
static const char suites_12[] = "ECDHE+AESGCM:ECDHE+CHACHA20";
static const char groups[] = "X25519:P-256:P-384";

struct tls {
	struct ca *ca;
	struct trust *trust;
	SSL_CTX *server; /* faces the client */
	SSL_CTX *client; /* faces real servers */
	void (*on_session)(void *arg, SSL_SESSION *session);
};

struct tls *tls_new(struct ca *ca, struct trust *trust)
{
	struct tls *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->ca = ca;
	t->trust = trust;
	return t;
}

void tls_on_session(struct tls *t, void (*fn)(void *arg, SSL_SESSION *session))
{
	t->on_session = fn;
}

void tls_set_arg(SSL *ssl, void *arg)
{
	(void)SSL_set_app_data(ssl, arg);
}

/* server_name: list length, then type 0, length, name (RFC 6066, section 3). */
static void read_sni(SSL *ssl, struct tls_hello *h)
{
	struct url_authority a;
	const unsigned char *p;
	const char *why;
	size_t len, name_len;

	if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &len))
		return;
	h->is_bad_sni = true;
	if (len < 5 || (size_t)(p[0] << 8 | p[1]) != len - 2 || p[2] != TLSEXT_NAMETYPE_host_name)
		return;
	name_len = (size_t)(p[3] << 8 | p[4]);
	if (name_len != len - 5 || url_host_parse((const char *)p + 5, name_len, &a, &why) < 0)
		return;
	h->is_bad_sni = !str_copy(h->sni, sizeof(h->sni), a.host);
}

static int on_client_hello(SSL *ssl, int *alert, void *arg)
{
	struct tls_hello *h = SSL_get_app_data(ssl);

	(void)arg;
	read_sni(ssl, h);
	if (ca_use_leaf(h->tls->ca, h->sni[0] ? h->sni : h->host, (int64_t)time(NULL), ssl) == 0)
		return SSL_CLIENT_HELLO_SUCCESS;
	*alert = SSL_AD_INTERNAL_ERROR;
	return SSL_CLIENT_HELLO_ERROR;
}

static bool offers(const unsigned char *list, unsigned int len, const char *name,
	const unsigned char **ret, unsigned char *ret_len)
{
	size_t n = strlen(name);

	for (unsigned int at = 0; at + 1 + list[at] <= len; at += 1u + list[at]) {
		if (list[at] == n && memcmp(list + at + 1, name, n) == 0) {
			*ret = list + at + 1;
			*ret_len = list[at];
			return true;
		}
		if (at + 1 + list[at] == len)
			break;
	}
	return false;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
	const unsigned char *in, unsigned int in_len, void *arg)
{
	struct tls_hello *h = SSL_get_app_data(ssl);

	(void)arg;
	h->h2 = h->allow_h2 && offers(in, in_len, "h2", out, out_len);
	/* "http/1.0" alone is what curl --http1.0 offers. */
	if (h->h2 || offers(in, in_len, "http/1.1", out, out_len) || offers(in, in_len, "http/1.0", out, out_len))
		return SSL_TLSEXT_ERR_OK;
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* What both directions share: idle connections without buffers, few and large records. */
static int configure(SSL_CTX *ctx)
{
	(void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
			SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	(void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_security_level(ctx, 2);
	if (!SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) ||
		!SSL_CTX_set_ciphersuites(ctx, suites_13) ||
		!SSL_CTX_set_cipher_list(ctx, suites_12) || !SSL_CTX_set1_groups_list(ctx, groups))
		return -EIO;
	return 0;
}

static int make_server(struct tls *t)
{
	static const unsigned char context[] = "openshell";
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (!ctx)
		return -ENOMEM;
	if (configure(ctx) < 0 || !SSL_CTX_set_session_id_context(ctx, context, sizeof(context) - 1)) {
		SSL_CTX_free(ctx);
		return -ENOMEM;
	}
	(void)SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
	/* Resumption by ticket alone: nothing is kept here for clients that went away. */
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_num_tickets(ctx, 1);
	SSL_CTX_set_client_hello_cb(ctx, on_client_hello, NULL);
	SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
	t->server = ctx;
	return 0;
}

SSL *tls_accept_new(struct tls *t, struct tls_hello *hello)
{
	SSL *ssl;

	if (!t->server && make_server(t) < 0)
		return NULL;
	ssl = SSL_new(t->server);
	if (!ssl)
		return NULL;
	hello->tls = t;
	tls_set_arg(ssl, hello);
	SSL_set_accept_state(ssl);
	return ssl;
}

static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
	struct tls *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	void *arg = SSL_get_app_data(ssl);

	if (!t->on_session || !arg)
		return 0;
	t->on_session(arg, session);
	return 1;
}

static int make_client(struct tls *t)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	if (!ctx)
		return -ENOMEM;
	if (configure(ctx) < 0 || trust_attach(t->trust, SSL_CTX_get_cert_store(ctx)) < 0) {
		SSL_CTX_free(ctx);
		return -ENOMEM;
	}
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	(void)SSL_CTX_set_session_cache_mode(ctx,
		SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, on_new_session);
	(void)SSL_CTX_set_app_data(ctx, t);
	t->client = ctx;
	return 0;
}

static bool expect_name(SSL *ssl, const char *host)
{
	struct netaddr a;

	if (netaddr_parse(host, &a) == 0)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

bool tls_chose_h2(const SSL *ssl)
{
	const unsigned char *name;
	unsigned int len;

	SSL_get0_alpn_selected(ssl, &name, &len);
	return len == 2 && memcmp(name, "h2", 2) == 0;
}

SSL *tls_connect_new(struct tls *t, const char *host, SSL_SESSION *session, bool offer_h2)
{
	static const unsigned char protocols[] = "\x02h2\x08http/1.1";
	const unsigned char *offer = offer_h2 ? protocols : protocols + 3;
	SSL *ssl;

	if (!t->client && make_client(t) < 0)
		return NULL;
	ssl = SSL_new(t->client);
	if (!ssl)
		return NULL;
	if (!expect_name(ssl, host) ||
		SSL_set_alpn_protos(ssl, offer,
			(unsigned int)(protocols + sizeof(protocols) - 1 - offer)) != 0) {
		SSL_free(ssl);
		return NULL;
	}
	if (session)
		(void)SSL_set_session(ssl, session);
	SSL_set_connect_state(ssl);
	return ssl;
}
