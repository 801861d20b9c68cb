/*
 * origin - a server on loopback that stands in for api.github.com and for worse.
 *
 * usage: origin [--name DNS]... [--port N] [--plain] [--ca FILE] [--log FILE] [--days N]
 *               [--silent] [--reset] [--max-tls12]
 *
 * Prints the port it listens on. Makes its own CA and certificate at start (for --name, default
 * api.github.com; --days -1 for one that has expired) and writes the CA to FILE. HTTP/1.1 with
 * keep-alive, one thread a connection:
 *
 *	GET /zen, /octocat	what the walkthrough shows
 *	GET /bytes/N		N bytes
 *	GET /chunked/N		N chunks of "chunk\n"
 *	GET /trickle/N		N bytes, one every 20 ms
 *	GET /echo		the request's header block
 *	GET /ws			a WebSocket that echoes bytes after the 101 (no frames are parsed)
 *	GET /never		no answer
 *	GET /cut		half an answer, then a reset
 *	POST, PUT, DELETE …	201 with the number of body bytes
 *
 * Every connection and every request is one line in the log FILE before it is answered, so that a
 * test can show what arrived and what never did:
 *
 *	connect 127.0.0.1:40122
 *	request GET /zen host=api.github.com body=0
 *
 * --silent accepts and never speaks, --reset accepts and resets: the log still has the connects.
 * It is a test's tool: it trusts its peer to be a test.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/str.h"

enum { HEAD_MAX = 65536, NAMES_MAX = 8, CHUNK = 65536, TRICKLE_MS = 20 };

struct options {
	const char *names[NAMES_MAX];
	int n_names;
	int port;
	int days; /* the certificate's validity */
	const char *ca_file, *log_file;
	bool is_plain, is_silent, is_reset, is_tls12;
};

static struct options opt = { .days = 30 };
static SSL_CTX *tls;
static int log_fd = -1;

struct conn {
	int fd;
	SSL *ssl; /* NULL: plain */
	char head[HEAD_MAX + 1];
	size_t have; /* bytes in head, of which */
	size_t used; /* belong to the current request's header block */
};

static const char octocat[] =
	"               MMM.           .MMM\n"
	"               MMMMMMMMMMMMMMMMMMM\n"
	"               MMMMMMMMMMMMMMMMMMM      ____________________________\n"
	"              MMMMMMMMMMMMMMMMMMMMM    |                            |\n"
	"             MMMMMMMMMMMMMMMMMMMMMMM   | Speak like a human.        |\n"
	"            MMMMMMMMMMMMMMMMMMMMMMMM   |_   ________________________|\n"
	"            MMMM::- -:::::::- -::MMMM    |/\n"
	"             MM~:~ 00~:::::~ 00~:~MM\n"
	"        .. MMMMM::.00:::+:::.00::MMMMM ..\n"
	"              .MM::::: ._. :::::MM.\n"
	"                 MMMM;:::::;MMMM\n"
	"          -MM        MMMMMMM\n"
	"          ^  M+     MMMMMMMMM\n"
	"              MMMMMMM MM MM MM\n"
	"                   MM MM MM MM\n"
	"                .~~MM~MM~MM~MM~~.\n";

static void die(const char *what)
{
	fprintf(stderr, "origin: %s: %s\n", what, errno ? strerror(errno) : "failed");
	exit(1);
}

static void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *fmt, ...)
{
	char line[2 * HEAD_MAX];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line) - 1, fmt, ap);
	va_end(ap);
	if (log_fd >= 0 && n > 0 && (size_t)n < sizeof(line) - 1) {
		line[n] = '\n';
		(void)fd_write_all(log_fd, line, (size_t)n + 1);
	}
}

/* ---- certificates ---- */

static void cert_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	if (!ext || !X509_add_ext(cert, ext, -1))
		die("certificate extension");
	X509_EXTENSION_free(ext);
}

static X509 *cert_new(const char *cn, EVP_PKEY *key, X509 *issuer, int days)
{
	X509 *cert = X509_new();
	X509_NAME *name = X509_get_subject_name(cert);

	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), (long)time(NULL) * 4 + (issuer ? 1 : 0));
	X509_gmtime_adj(X509_getm_notBefore(cert), -10L * 86400);
	X509_gmtime_adj(X509_getm_notAfter(cert), days * 86400L);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0);
	X509_set_issuer_name(cert, issuer ? X509_get_subject_name(issuer) : name);
	X509_set_pubkey(cert, key);
	return cert;
}

static void cert_names(X509 *leaf, X509 *ca)
{
	char san[1024] = "";
	size_t len = 0;

	for (int i = 0; i < opt.n_names; i++)
		len += (size_t)snprintf(
			san + len, sizeof(san) - len, "%sDNS:%s", i ? "," : "", opt.names[i]);
	cert_extension(leaf, ca, NID_subject_alt_name, san);
	cert_extension(leaf, ca, NID_ext_key_usage, "serverAuth");
}

static void ca_write(X509 *ca)
{
	char tmp[4096];
	FILE *f;

	if (!opt.ca_file)
		return;
	snprintf(tmp, sizeof(tmp), "%s.new", opt.ca_file);
	f = fopen(tmp, "we");
	if (!f || !PEM_write_X509(f, ca) || fclose(f) != 0 || rename(tmp, opt.ca_file) != 0)
		die(opt.ca_file);
}

static void tls_set_up(void)
{
	EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
	X509 *ca;
	X509 *leaf;
	char cn[64];

	/* Verifiers look issuers up by name: two origins must not share one. */
	snprintf(cn, sizeof(cn), "stand-in CA %d", getpid());
	ca = cert_new(cn, ca_key, NULL, 30);
	leaf = cert_new(opt.names[0], key, ca, opt.days);
	cert_extension(ca, ca, NID_basic_constraints, "critical,CA:TRUE");
	cert_extension(ca, ca, NID_key_usage, "critical,keyCertSign");
	cert_names(leaf, ca);
	tls = SSL_CTX_new(TLS_server_method());
	if (!tls || !X509_sign(ca, ca_key, EVP_sha256()) ||
		!X509_sign(leaf, ca_key, EVP_sha256()) || !SSL_CTX_use_certificate(tls, leaf) ||
		!SSL_CTX_use_PrivateKey(tls, key))
		die("TLS set-up");
	if (opt.is_tls12)
		SSL_CTX_set_max_proto_version(tls, TLS1_2_VERSION);
	ca_write(ca);
	X509_free(ca);
	X509_free(leaf);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(key);
}

/* ---- bytes ---- */

static ssize_t conn_recv(struct conn *c, void *buf, size_t len)
{
	return c->ssl ? SSL_read(c->ssl, buf, (int)len) : recv(c->fd, buf, len, 0);
}

static bool conn_send(struct conn *c, const void *buf, size_t len)
{
	if (len == 0)
		return true;
	if (c->ssl)
		return SSL_write(c->ssl, buf, (int)len) > 0;
	return fd_write_all(c->fd, buf, len) == 0;
}

static bool conn_print(struct conn *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool conn_print(struct conn *c, const char *fmt, ...)
{
	char text[4096];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return n >= 0 && (size_t)n < sizeof(text) && conn_send(c, text, (size_t)n);
}

/* Forgets the answered request; what came behind it (pipelining) is kept. */
static void conn_advance(struct conn *c)
{
	memmove(c->head, c->head + c->used, c->have - c->used);
	c->have -= c->used;
	c->used = 0;
	c->head[c->have] = '\0';
}

/* Until the header block is whole: false at the connection's end. */
static bool conn_head(struct conn *c)
{
	const char *end;

	while (!(end = strstr(c->head, "\r\n\r\n"))) {
		ssize_t n = conn_recv(c, c->head + c->have, HEAD_MAX - c->have);

		if (n <= 0 || c->have + (size_t)n >= HEAD_MAX)
			return false;
		c->have += (size_t)n;
		c->head[c->have] = '\0';
		if (!isalpha((unsigned char)c->head[0])) /* TLS to a plain server */
			return false;
	}
	c->used = (size_t)(end - c->head) + 4;
	return true;
}

static void header(const struct conn *c, const char *name, char *ret_value, size_t size)
{
	size_t len = strlen(name);
	const char *line = c->head;

	*ret_value = '\0';
	while ((line = strstr(line, "\r\n")) && line < c->head + c->used - 4) {
		line += 2;
		if (strncasecmp(line, name, len) != 0 || line[len] != ':')
			continue;
		line += len + 1 + strspn(line + len + 1, " ");
		snprintf(ret_value, size, "%.*s", (int)strcspn(line, "\r"), line);
		return;
	}
}

/* Reads @want body bytes (those behind the header block first). */
static bool body_read(struct conn *c, unsigned long long want)
{
	size_t here = c->have - c->used;
	char sink[CHUNK];

	if (here > want)
		here = (size_t)want;
	c->used += here;
	for (want -= here; want > 0;) {
		ssize_t n = conn_recv(c, sink, want < sizeof(sink) ? (size_t)want : sizeof(sink));

		if (n <= 0)
			return false;
		want -= (unsigned long long)n;
	}
	return true;
}

static bool body_skip_line(struct conn *c, char *ret_line, size_t size)
{
	size_t n = 0;
	char ch = 0;

	while (n < size - 1) {
		if (c->used < c->have)
			ch = c->head[c->used++];
		else if (conn_recv(c, &ch, 1) != 1)
			return false;
		if (ch == '\n')
			break;
		ret_line[n++] = ch;
	}
	ret_line[n] = '\0';
	return ch == '\n';
}

static bool body_read_chunked(struct conn *c, unsigned long long *ret_len)
{
	char line[128];
	unsigned long long n;

	*ret_len = 0;
	do {
		if (!body_skip_line(c, line, sizeof(line)))
			return false;
		n = strtoull(line, NULL, 16);
		*ret_len += n;
		if (!body_read(c, n) || !body_skip_line(c, line, sizeof(line)))
			return false;
	} while (n > 0);
	return true;
}

/* ---- answers: each returns whether the connection goes on ---- */

static bool answer(struct conn *c, const char *status, const char *type, const char *body)
{
	return conn_print(c,
		       "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nServer: "
		       "stand-in\r\n\r\n",
		       status, type, strlen(body)) &&
	       conn_send(c, body, strlen(body));
}

static bool answer_zen(struct conn *c, unsigned long n)
{
	(void)n;
	return answer(c, "200 OK", "text/plain", "Anything added dilutes everything else.");
}

static bool answer_octocat(struct conn *c, unsigned long n)
{
	(void)n;
	return answer(c, "200 OK", "text/plain", octocat);
}

static bool answer_echo(struct conn *c, unsigned long n)
{
	char copy[HEAD_MAX];

	(void)n;
	snprintf(copy, sizeof(copy), "%.*s", (int)c->used, c->head);
	return answer(c, "200 OK", "text/plain", copy);
}

static bool answer_bytes(struct conn *c, unsigned long n)
{
	static const char zeros[CHUNK];
	bool ok = conn_print(c, "HTTP/1.1 200 OK\r\nContent-Length: %lu\r\n\r\n", n);

	for (; ok && n > 0; n -= n < CHUNK ? n : CHUNK)
		ok = conn_send(c, zeros, n < CHUNK ? n : CHUNK);
	return ok;
}

static bool answer_chunked(struct conn *c, unsigned long n)
{
	bool ok = conn_print(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");

	for (; ok && n > 0; n--)
		ok = conn_print(c, "6\r\nchunk\n\r\n");
	return ok && conn_print(c, "0\r\n\r\n");
}

static bool answer_trickle(struct conn *c, unsigned long n)
{
	bool ok = conn_print(c, "HTTP/1.1 200 OK\r\nContent-Length: %lu\r\n\r\n", n);

	for (; ok && n > 0; n--) {
		(void)poll(NULL, 0, TRICKLE_MS);
		ok = conn_send(c, ".", 1);
	}
	return ok;
}

static bool answer_websocket(struct conn *c, unsigned long n)
{
	static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	unsigned char digest[EVP_MAX_MD_SIZE], accept[64];
	char key[128], bytes[CHUNK];
	unsigned int len = 0;
	ssize_t got;

	(void)n;
	header(c, "Sec-WebSocket-Key", key, sizeof(key) - sizeof(magic));
	strcat(key, magic);
	EVP_Digest(key, strlen(key), digest, &len, EVP_sha1(), NULL);
	EVP_EncodeBlock(accept, digest, (int)len);
	if (!conn_print(c,
		    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
		    "Upgrade\r\n"
		    "Sec-WebSocket-Accept: %s\r\n\r\n",
		    (const char *)accept))
		return false;
	while ((got = conn_recv(c, bytes, sizeof(bytes))) > 0 && conn_send(c, bytes, (size_t)got))
		;
	return false;
}

static bool answer_never(struct conn *c, unsigned long n)
{
	char byte;

	(void)n;
	return conn_recv(c, &byte, 1) > 0 && false;
}

static void conn_reset(struct conn *c)
{
	struct linger hard = { .l_onoff = 1 };

	(void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
}

static bool answer_cut(struct conn *c, unsigned long n)
{
	(void)n;
	(void)conn_print(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf");
	conn_reset(c);
	return false;
}

static const struct route {
	const char *path; /* the whole path, or a prefix that ends in "/" before a number */
	bool (*answer)(struct conn *c, unsigned long n);
} routes[] = {
	{ "/zen", answer_zen },
	{ "/octocat", answer_octocat },
	{ "/echo", answer_echo },
	{ "/bytes/", answer_bytes },
	{ "/chunked/", answer_chunked },
	{ "/trickle/", answer_trickle },
	{ "/ws", answer_websocket },
	{ "/never", answer_never },
	{ "/cut", answer_cut },
};

static bool dispatch(struct conn *c, const char *target)
{
	size_t len = strcspn(target, "?");

	for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
		const char *path = routes[i].path;
		size_t n = strlen(path);

		if (path[n - 1] == '/' ? strncmp(target, path, n) == 0
				       : len == n && strncmp(target, path, n) == 0)
			return routes[i].answer(c, strtoul(target + n, NULL, 10));
	}
	return answer(c, "404 Not Found", "text/plain", "not here\n");
}

static bool answer_head(struct conn *c)
{
	return conn_print(c, "HTTP/1.1 200 OK\r\nContent-Length: 39\r\n\r\n");
}

static bool answer_created(struct conn *c, unsigned long long body)
{
	char text[64];

	snprintf(text, sizeof(text), "{\"created\":true,\"bytes\":%llu}\n", body);
	return answer(c, "201 Created", "application/json", text);
}

static bool request(struct conn *c)
{
	char method[32] = "", target[8192] = "", host[256], length[32], coding[32], connection[64];
	unsigned long long body = 0;
	bool goes_on;

	if (sscanf(c->head, "%31s %8191s", method, target) != 2)
		return false;
	header(c, "Host", host, sizeof(host));
	header(c, "Content-Length", length, sizeof(length));
	header(c, "Transfer-Encoding", coding, sizeof(coding));
	header(c, "Connection", connection, sizeof(connection));
	if (strcasecmp(coding, "chunked") == 0) {
		if (!body_read_chunked(c, &body))
			return false;
	} else {
		body = strtoull(length, NULL, 10);
		if (!body_read(c, body))
			return false;
	}
	note("request %s %s host=%s body=%llu", method, target, host, body);
	if (str_eq(method, "HEAD"))
		goes_on = answer_head(c);
	else if (str_eq(method, "GET"))
		goes_on = dispatch(c, target);
	else
		goes_on = answer_created(c, body);
	conn_advance(c);
	return goes_on && strcasecmp(connection, "close") != 0;
}

static void conn_serve(struct conn *c)
{
	char byte;

	if (opt.is_reset) {
		conn_reset(c);
		return;
	}
	if (opt.is_silent) {
		while (recv(c->fd, &byte, 1, 0) > 0)
			;
		return;
	}
	if (tls) {
		c->ssl = SSL_new(tls);
		if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1 || SSL_accept(c->ssl) != 1) {
			note("handshake failed");
			return;
		}
		note("handshake %s sni=%s", SSL_get_version(c->ssl),
			SSL_get_servername(c->ssl, TLSEXT_NAMETYPE_host_name) ?: "-");
	}
	while (conn_head(c) && request(c))
		;
	if (c->ssl)
		(void)SSL_shutdown(c->ssl);
}

static void *conn_main(void *arg)
{
	struct conn *c = arg;

	conn_serve(c);
	SSL_free(c->ssl);
	(void)close(c->fd);
	free(c);
	return NULL;
}

/* ---- the server ---- */

static int listen_on(int port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 || listen(fd, 1024) < 0 ||
		getsockname(fd, (struct sockaddr *)&sin, &len) < 0)
		die("listen");
	printf("%u\n", ntohs(sin.sin_port));
	(void)fflush(stdout);
	return fd;
}

static void conn_start(int fd, const struct sockaddr_in *peer)
{
	struct conn *c = calloc(1, sizeof(*c));
	int one = 1;
	pthread_t thread;

	note("connect %s:%u", inet_ntoa(peer->sin_addr), ntohs(peer->sin_port));
	if (!c)
		die("memory");
	c->fd = fd;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (pthread_create(&thread, NULL, conn_main, c) != 0)
		die("thread");
	(void)pthread_detach(thread);
}

static void option(int which)
{
	switch (which) {
	case 'n':
		if (opt.n_names < NAMES_MAX)
			opt.names[opt.n_names++] = optarg;
		break;
	case 'p':
		opt.port = atoi(optarg);
		break;
	case 'c':
		opt.ca_file = optarg;
		break;
	case 'l':
		opt.log_file = optarg;
		break;
	case 'd':
		opt.days = atoi(optarg);
		break;
	case 'P':
		opt.is_plain = true;
		break;
	case 'S':
		opt.is_silent = true;
		break;
	case 'R':
		opt.is_reset = true;
		break;
	case '2':
		opt.is_tls12 = true;
		break;
	default:
		exit(2);
	}
}

static const struct option long_options[] = {
	{ "name", required_argument, NULL, 'n' },
	{ "port", required_argument, NULL, 'p' },
	{ "ca", required_argument, NULL, 'c' },
	{ "log", required_argument, NULL, 'l' },
	{ "days", required_argument, NULL, 'd' },
	{ "plain", no_argument, NULL, 'P' },
	{ "silent", no_argument, NULL, 'S' },
	{ "reset", no_argument, NULL, 'R' },
	{ "max-tls12", no_argument, NULL, '2' },
	{ 0 },
};

int main(int argc, char **argv)
{
	int which, listener;

	(void)signal(SIGPIPE, SIG_IGN);
	while ((which = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		option(which);
	if (opt.n_names == 0)
		opt.names[opt.n_names++] = "api.github.com";
	if (opt.log_file)
		log_fd = open(opt.log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (!opt.is_plain)
		tls_set_up();
	listener = listen_on(opt.port);
	for (;;) {
		struct sockaddr_in peer = { 0 };
		socklen_t len = sizeof(peer);
		int fd = accept4(listener, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC);

		if (fd >= 0)
			conn_start(fd, &peer);
	}
}
