/*
 * TLS as a stream.
 *
 * OpenSSL does not get the socket but a BIO of ours, for three reasons. Bytes that were read
 * before it was known that they are TLS have to be read again. All records of one send leave with
 * one send(2): they are collected in a staging area that all connections share, and only what the
 * kernel does not take is kept per connection; so SSL_write() never has to be repeated and a
 * download costs a quarter of the system calls. And a short read tells that the socket is empty,
 * which saves the extra recv(2) that only learns EAGAIN.
 */
#include "proxy/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "lib/buf.h"
#include "lib/str.h"
#include "proxy/limits.h"

enum {
	STAGING_SIZE = SCRATCH_SIZE + 4096, /* one send with the overhead of its records */
	CIPHER_PENDING_MAX = 512 * 1024,
	ERROR_MAX = 160,
};

struct stream_tls {
	struct stream base;
	SSL *ssl;
	struct buf early;   /* read before us, not yet given to OpenSSL */
	struct buf pending; /* ciphertext that the kernel did not take */
	bool is_empty;	    /* the last recv(2) of this turn was short */
	bool is_staging;    /* writes are being collected */
	bool is_ended;	    /* the peer's FIN was read */
	bool wants_send;    /* the handshake or a key update has to send first */
	int error;	    /* first failure of the socket, -errno */
	char text[ERROR_MAX];
};

static char staging[STAGING_SIZE];
static size_t staged;
static BIO_METHOD *bio_method;

static struct stream_tls *tls_of(const struct stream *s)
{
	return (struct stream_tls *)s;
}

static int flush_pending(struct stream_tls *t)
{
	while (t->pending.len) {
		ssize_t n = send(t->base.fd, buf_head(&t->pending), t->pending.len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		buf_consume(&t->pending, (size_t)n);
	}
	if (t->pending.data)
		buf_done(&t->pending);
	return 0;
}

/* Sends @data or keeps what does not go. */
static int push(struct stream_tls *t, const char *data, size_t len)
{
	if (!t->pending.len) {
		ssize_t n;

		do
			n = send(t->base.fd, data, len, MSG_NOSIGNAL);
		while (n < 0 && errno == EINTR);
		if (n < 0 && errno != EAGAIN)
			return -errno;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return len ? buf_append(&t->pending, data, len) : 0;
}

static int unstage(struct stream_tls *t)
{
	size_t n = staged;

	staged = 0;
	t->is_staging = false;
	return n ? push(t, staging, n) : 0;
}

static int bio_write(BIO *bio, const char *data, int len)
{
	struct stream_tls *t = BIO_get_data(bio);
	int r;

	BIO_clear_retry_flags(bio);
	if (t->is_staging && staged + (size_t)len <= sizeof(staging)) {
		memcpy(staging + staged, data, (size_t)len);
		staged += (size_t)len;
		return len;
	}
	r = t->is_staging ? unstage(t) : 0;
	if (r == 0)
		r = push(t, data, (size_t)len);
	if (r < 0) {
		t->error = r;
		return -1;
	}
	return len;
}

static int read_early(struct stream_tls *t, char *out, size_t len)
{
	if (len > t->early.len)
		len = t->early.len;
	memcpy(out, buf_head(&t->early), len);
	buf_consume(&t->early, len);
	if (!t->early.len)
		buf_done(&t->early);
	return (int)len;
}

static int bio_read(BIO *bio, char *out, int len)
{
	struct stream_tls *t = BIO_get_data(bio);
	ssize_t n;

	BIO_clear_retry_flags(bio);
	if (t->early.len)
		return read_early(t, out, (size_t)len);
	if (t->is_empty) {
		BIO_set_retry_read(bio);
		return -1;
	}
	do
		n = recv(t->base.fd, out, (size_t)len, 0);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		t->is_empty = n < len;
		return (int)n;
	}
	if (n == 0)
		t->is_ended = true;
	else if (errno == EAGAIN)
		BIO_set_retry_read(bio);
	else
		t->error = -errno;
	return n == 0 ? 0 : -1;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	struct stream_tls *t = BIO_get_data(bio);

	(void)num;
	(void)ptr;
	switch (cmd) {
	case BIO_CTRL_FLUSH:
	case BIO_CTRL_DUP:
		return 1;
	case BIO_CTRL_EOF:
		return t->is_ended;
	default:
		return 0;
	}
}

static int bio_create(BIO *bio)
{
	BIO_set_init(bio, 1);
	return 1;
}

static const BIO_METHOD *method(void)
{
	if (bio_method)
		return bio_method;
	bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "openshell");
	if (!bio_method)
		return NULL;
	(void)BIO_meth_set_write(bio_method, bio_write);
	(void)BIO_meth_set_read(bio_method, bio_read);
	(void)BIO_meth_set_ctrl(bio_method, bio_ctrl);
	(void)BIO_meth_set_create(bio_method, bio_create);
	return bio_method;
}

/* Want of memory is followed in the queue by what it led to ("internal error"). Empties the queue. */
static bool is_out_of_memory(void)
{
	bool is_so = false;

	for (unsigned long e; (e = ERR_get_error());)
		is_so = is_so || ERR_GET_REASON(e) == ERR_R_MALLOC_FAILURE;
	return is_so;
}

/* Keeps the first reason that OpenSSL gives, in words a person can use. */
static void note_error(struct stream_tls *t)
{
	unsigned long e = ERR_peek_last_error();
	long verify = SSL_get_verify_result(t->ssl);
	const char *why = e ? ERR_reason_error_string(e) : NULL;

	if (t->text[0])
		return;
	if (is_out_of_memory())
		why = "out of memory";
	if (verify != X509_V_OK)
		why = X509_verify_cert_error_string(verify);
	if (!why && t->error < 0)
		why = strerrordesc_np(-t->error);
	if (!why)
		why = t->is_ended ? "the connection ended" : "protocol error";
	(void)str_copy(t->text, sizeof(t->text), why);
}

/* What an SSL_* call that did not succeed means for our callers. */
static int outcome(struct stream_tls *t, int ret)
{
	int e = SSL_get_error(t->ssl, ret);

	switch (e) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_CLIENT_HELLO_CB:
		return -EAGAIN;
	case SSL_ERROR_WANT_WRITE:
		t->wants_send = true;
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	default:
		note_error(t);
		ERR_clear_error();
		return t->error < 0 ? t->error : -EPROTO;
	}
}

static ssize_t tls_recv(struct stream *s, void *buf, size_t n)
{
	struct stream_tls *t = tls_of(s);
	size_t got = 0;

	t->is_empty = false;
	while (got < n) {
		size_t len = n - got;
		int r = SSL_read(t->ssl, (char *)buf + got, len > INT_MAX ? INT_MAX : (int)len);

		if (r <= 0) {
			if (got) {
				/* Found again by the next call; only the count matters now. */
				ERR_clear_error();
				break;
			}
			return outcome(t, r);
		}
		got += (size_t)r;
		if (t->is_empty && !SSL_has_pending(t->ssl))
			break;
	}
	return (ssize_t)got;
}

static ssize_t tls_send(struct stream *s, const void *buf, size_t n)
{
	struct stream_tls *t = tls_of(s);
	size_t len = n < SCRATCH_SIZE ? n : SCRATCH_SIZE, sent = 0;
	int r, flushed;

	r = flush_pending(t);
	if (r < 0)
		return r;
	t->is_staging = true;
	do {
		r = SSL_write(t->ssl, (const char *)buf + sent, (int)(len - sent));
		if (r > 0)
			sent += (size_t)r;
	} while (r > 0 && sent < len);
	flushed = unstage(t);
	if (flushed < 0) {
		t->error = flushed;
		note_error(t);
		return flushed;
	}
	return r <= 0 && !sent ? outcome(t, r) : (ssize_t)sent;
}

static int tls_handshake(struct stream *s)
{
	struct stream_tls *t = tls_of(s);
	int r, flushed;

	r = flush_pending(t);
	if (r < 0 && r != -EAGAIN)
		return r;
	t->is_empty = false;
	t->wants_send = false;
	t->is_staging = true;
	r = SSL_do_handshake(t->ssl);
	flushed = unstage(t);
	/* What the peer waits for is lost, and it would be waited for in vain. */
	if (flushed < 0) {
		t->error = flushed;
		note_error(t);
		ERR_clear_error();
		return flushed;
	}
	if (r == 1)
		return 0;
	r = outcome(t, r);
	return r == 0 ? -ECONNRESET : r;
}

static int tls_flush(struct stream *s)
{
	return flush_pending(tls_of(s));
}

static int tls_shutdown(struct stream *s)
{
	struct stream_tls *t = tls_of(s);
	int r;

	r = flush_pending(t);
	if (r < 0)
		return r;
	if (SSL_is_init_finished(t->ssl) && !(SSL_get_shutdown(t->ssl) & SSL_SENT_SHUTDOWN)) {
		t->is_staging = true;
		(void)SSL_shutdown(t->ssl);
		ERR_clear_error();
		(void)unstage(t);
		if (t->pending.len)
			return -EAGAIN;
	}
	return shutdown(t->base.fd, SHUT_WR) < 0 && errno != ENOTCONN ? -errno : 0;
}

static uint32_t tls_events(const struct stream *s, bool want_recv, bool want_send)
{
	const struct stream_tls *t = tls_of(s);
	bool out = t->pending.len || t->wants_send;

	/* While ciphertext waits nothing more can be sent: EPOLLOUT is needed in any case. */
	return (want_recv ? EPOLLIN : 0u) | (want_send || out ? EPOLLOUT : 0u);
}

static bool tls_has_pending(const struct stream *s)
{
	struct stream_tls *t = tls_of(s);

	/*
	 * Perhaps only part of a record: the next recv tells, at the price of one system call. And an
	 * end that was read together with the last bytes is not announced by the kernel again.
	 */
	return t->early.len || SSL_has_pending(t->ssl) || t->is_ended || t->error < 0 ||
		(SSL_get_shutdown(t->ssl) & SSL_RECEIVED_SHUTDOWN);
}

static void tls_destroy(struct stream *s)
{
	struct stream_tls *t = tls_of(s);

	/* OpenSSL spoils the session of a connection that goes without close_notify, as ours to servers
	 * do; only a failure is a reason not to resume. */
	if (!t->text[0])
		SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(t->ssl);
	buf_done(&t->early);
	buf_done(&t->pending);
	free(t);
}

static const struct stream_ops tls_ops = {
	.recv = tls_recv,
	.send = tls_send,
	.handshake = tls_handshake,
	.flush = tls_flush,
	.shutdown = tls_shutdown,
	.events = tls_events,
	.has_pending = tls_has_pending,
	.destroy = tls_destroy,
};

static bool attach_bio(struct stream_tls *t)
{
	const BIO_METHOD *m = method();
	BIO *bio = m ? BIO_new(m) : NULL;

	if (!bio)
		return false;
	BIO_set_data(bio, t);
	SSL_set_bio(t->ssl, bio, bio);
	return true;
}

struct stream *stream_tls_new(int fd, SSL *ssl, const void *early, size_t early_len)
{
	struct stream_tls *t = calloc(1, sizeof(*t));

	if (!t) {
		SSL_free(ssl);
		return NULL;
	}
	t->base = (struct stream){ .ops = &tls_ops, .fd = fd };
	t->ssl = ssl;
	buf_init(&t->early, HELLO_MAX);
	buf_init(&t->pending, CIPHER_PENDING_MAX);
	if (!attach_bio(t) || buf_append(&t->early, early, early_len) < 0) {
		tls_destroy(&t->base);
		return NULL;
	}
	return &t->base;
}

SSL *stream_ssl(const struct stream *s)
{
	return s && s->ops == &tls_ops ? tls_of(s)->ssl : NULL;
}

const char *stream_tls_error(const struct stream *s)
{
	return s && s->ops == &tls_ops ? tls_of(s)->text : "";
}
