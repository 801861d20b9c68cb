#include "proxy/http2.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "lib/buf.h"
#include "lib/http2_head.h"

enum {
	SEND_UNIT = 20 * 1024, /* a frame and its header */
	PSEUDO_MAX = 8,	       /* fields we add to a list */
	NAMES_MAX = HTTP1_HEAD_MAX,
};

/* What a stream waits for from its peer. */
enum part { PART_HEAD = 0, PART_BODY, PART_DONE };

struct h2_stream {
	TAILQ_ENTRY(h2_stream) link;
	struct h2 *h;
	int32_t id;
	void *user;
	enum part part;
	struct http2_head *block; /* the head being received; NULL between heads */
	struct http2_head *head;  /* the request or answer; slices live there */
	struct http2_head *trailers;
	union {
		struct http1_request request;
		struct http1_response response;
	};
	char method[HTTP1_METHOD_MAX + 1]; /* client: what was asked with */
	struct buf out;			   /* body to be sent */
	bool is_ended;			   /* no more is written */
	struct arena tail_arena;	   /* trailers to be sent, once the body has gone */
	struct http1_header *tail;
	size_t n_tail;
	bool has_drained;     /* on_room() is due */
	bool is_answered;     /* server: a final head was submitted */
	bool is_known;	      /* the owner has been told of it */
	unsigned int n_interim; /* client: 1xx answers so far */
	size_t unconsumed;    /* given to the owner, counted against the windows */
	bool is_answer_whole; /* server: sent, before the request had come */
	size_t discarded;     /* of the request, since then */
};

struct h2 {
	nghttp2_session *session;
	enum h2_role role;
	const struct h2_handler *handler;
	void *arg;
	TAILQ_HEAD(, h2_stream) streams;
	unsigned int n_streams;
	unsigned int faults;
	unsigned int n_empty; /* DATA frames since the last one that carried something */
	bool is_closing;
	bool is_greeted; /* the peer's SETTINGS came */
};

static struct http2_head *head_new(bool is_request, bool is_trailers)
{
	struct http2_head *head = malloc(sizeof(*head));

	if (head)
		http2_head_init(head, is_request, is_trailers);
	return head;
}

static void head_free(struct http2_head *head)
{
	if (!head)
		return;
	http2_head_done(head);
	free(head);
}

static struct h2_stream *stream_new(struct h2 *h, int32_t id)
{
	struct h2_stream *st = calloc(1, sizeof(*st));

	if (!st)
		return NULL;
	st->h = h;
	st->id = id;
	buf_init(&st->out, H2_STREAM_OUT_MAX);
	arena_init(&st->tail_arena, 4 * HTTP2_HEAD_MAX);
	TAILQ_INSERT_TAIL(&h->streams, st, link);
	h->n_streams++;
	return st;
}

static void stream_free_(struct h2_stream *st)
{
	TAILQ_REMOVE(&st->h->streams, st, link);
	st->h->n_streams--;
	head_free(st->block);
	head_free(st->head);
	head_free(st->trailers);
	arena_done(&st->tail_arena);
	buf_done(&st->out);
	free(st);
}

static struct h2_stream *find_stream(nghttp2_session *session, int32_t id)
{
	return nghttp2_session_get_stream_user_data(session, id);
}

static void tell_fault(struct h2 *h, const char *why)
{
	if (h->handler->on_fault)
		h->handler->on_fault(h->arg, why);
}

/* Counted, for making us reset streams is an attack as well. */
static void count_fault(struct h2 *h, const char *why)
{
	tell_fault(h, why);
	if (++h->faults > H2_FAULTS_MAX)
		(void)nghttp2_session_terminate_session(h->session, NGHTTP2_ENHANCE_YOUR_CALM);
}

/* RFC 9113 section 5.4.2. */
static void fault(struct h2 *h, int32_t id, uint32_t error, const char *why)
{
	(void)nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, id, error);
	count_fault(h, why);
}

static bool is_request_head(const struct h2 *h, const nghttp2_frame *frame)
{
	return h->role == H2_SERVER && frame->headers.cat == NGHTTP2_HCAT_REQUEST;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2 *h = arg;
	struct h2_stream *st = find_stream(session, frame->hd.stream_id);

	if (frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	if (!st && is_request_head(h, frame)) {
		st = stream_new(h, frame->hd.stream_id);
		if (!st)
			return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
		(void)nghttp2_session_set_stream_user_data(session, st->id, st);
	}
	if (!st)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	head_free(st->block);
	st->block = head_new(h->role == H2_SERVER, st->part == PART_BODY);
	return st->block ? 0 : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
	size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *arg)
{
	struct h2_stream *st = find_stream(session, frame->hd.stream_id);

	(void)flags;
	(void)arg;
	if (st && st->block)
		http2_head_add(
			st->block, (const char *)name, name_len, (const char *)value, value_len);
	return 0;
}

/* nghttp2 would drop such a field and go on; what it drops, a rule cannot see. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
	const uint8_t *name, size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
	void *arg)
{
	(void)name;
	(void)name_len;
	(void)value;
	(void)value_len;
	(void)flags;
	(void)session;
	fault(arg, frame->hd.stream_id, NGHTTP2_PROTOCOL_ERROR,
		"header field with bytes it cannot have");
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static struct http2_head *take_block(struct h2_stream *st)
{
	struct http2_head *block = st->block;

	st->block = NULL;
	return block;
}

static void on_request_head(struct h2_stream *st, bool is_end)
{
	struct h2 *h = st->h;
	const char *why = NULL;
	int r;

	st->head = take_block(st);
	st->part = PART_BODY;
	r = http2_head_request(st->head, is_end, &st->request, &why);
	if (r == -ENOMEM) {
		fault(h, st->id, NGHTTP2_INTERNAL_ERROR, "out of memory");
		return;
	}
	st->is_known = true;
	if (h->handler->on_request)
		h->handler->on_request(h->arg, st, r < 0 ? NULL : &st->request,
			r == -EMSGSIZE ? 431
			: r < 0	       ? 400
				       : 0,
			why);
}

/* A 1xx is told and forgotten; the final head stays. */
static void on_response_head(struct h2_stream *st, bool is_end)
{
	struct h2 *h = st->h;
	const char *why = NULL;
	int r;

	head_free(st->head);
	st->head = take_block(st);
	r = http2_head_response(st->head, is_end, st->method, &st->response, &why);
	if (r < 0 || st->response.status >= 200)
		st->part = PART_BODY;
	else if (++st->n_interim > H2_INTERIM_MAX) {
		(void)nghttp2_session_terminate_session(h->session, NGHTTP2_ENHANCE_YOUR_CALM);
		return;
	}
	if (h->handler->on_response)
		h->handler->on_response(h->arg, st, r < 0 ? NULL : &st->response, why);
	if (r < 0)
		fault(h, st->id, NGHTTP2_PROTOCOL_ERROR, why);
}

static void on_trailers(struct h2_stream *st)
{
	st->trailers = take_block(st);
	if (st->trailers->error < 0)
		fault(st->h, st->id, NGHTTP2_PROTOCOL_ERROR, st->trailers->why);
}

static void on_message_end(struct h2_stream *st)
{
	const struct http1_fields *f = st->trailers ? &st->trailers->fields : NULL;

	if (st->part != PART_BODY || !st->is_known || (st->trailers && st->trailers->error < 0))
		return;
	st->part = PART_DONE;
	if (st->h->handler->on_end)
		st->h->handler->on_end(st->h->arg, st, f ? f->list : NULL, f ? f->n : 0);
}

/* No window holds back who sends nothing, and of an exchange the deadline is a long one. */
static void count_empty(struct h2 *h, const nghttp2_frame *frame)
{
	bool is_empty = frame->hd.length == frame->data.padlen && !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM);

	h->n_empty = is_empty ? h->n_empty + 1 : 0;
	if (h->n_empty > H2_EMPTY_MAX)
		(void)nghttp2_session_terminate_session(h->session, NGHTTP2_ENHANCE_YOUR_CALM);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2_stream *st = find_stream(session, frame->hd.stream_id);
	bool is_end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
	struct h2 *h = arg;

	if (frame->hd.type == NGHTTP2_SETTINGS)
		h->is_greeted = true;
	if (frame->hd.type == NGHTTP2_DATA)
		count_empty(h, frame);
	if (!st || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA))
		return 0;
	if (frame->hd.type == NGHTTP2_HEADERS && st->block) {
		if (st->part == PART_BODY)
			on_trailers(st);
		else if (h->role == H2_SERVER)
			on_request_head(st, is_end);
		else
			on_response_head(st, is_end);
	}
	if (is_end)
		on_message_end(st);
	return 0;
}

/* Of a request that was answered already. */
static void discard(struct h2_stream *st, size_t len)
{
	(void)nghttp2_session_consume(st->h->session, st->id, len);
	st->discarded += len;
	if (st->discarded > H2_DISCARD_MAX)
		(void)nghttp2_submit_rst_stream(
			st->h->session, NGHTTP2_FLAG_NONE, st->id, NGHTTP2_NO_ERROR);
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
	size_t len, void *arg)
{
	struct h2_stream *st = find_stream(session, id);
	struct h2 *h = arg;

	(void)flags;
	if (!st || !st->is_known || !h->handler->on_data) {
		(void)nghttp2_session_consume(session, id, len);
		return 0;
	}
	if (st->is_answer_whole) {
		discard(st, len);
		return 0;
	}
	st->unconsumed += len;
	h->handler->on_data(h->arg, st, (const char *)data, len);
	return 0;
}

/* What the owner did not consume must not shrink the connection's window for good. */
static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *arg)
{
	struct h2_stream *st = find_stream(session, id);
	struct h2 *h = arg;

	if (!st)
		return 0;
	(void)nghttp2_session_set_stream_user_data(session, id, NULL);
	if (st->unconsumed)
		(void)nghttp2_session_consume_connection(session, st->unconsumed);
	if (h->handler->on_close && st->is_known)
		h->handler->on_close(h->arg, st, error);
	stream_free_(st);
	return 0;
}

/*
 * nghttp2 resets streams by itself when a frame is wrong: those count too. Extended CONNECT (RFC
 * 8441), which is how a WebSocket would begin, is one of them: we do not announce it, so that
 * clients open an HTTP/1.1 connection for a WebSocket, and nghttp2 takes :protocol for malformed.
 */
static int on_invalid_frame(
	nghttp2_session *session, const nghttp2_frame *frame, int error, void *arg)
{
	struct h2_stream *st = find_stream(session, frame->hd.stream_id);

	count_fault(arg, st && st->block && http2_head_is_connect(st->block)
				 ? "CONNECT within HTTP/2 (RFC 8441) is not offered: WebSockets "
				   "need HTTP/1.1"
				 : nghttp2_strerror(error));
	return 0;
}

static const char *goaway_reason(uint32_t error)
{
	switch (error) {
	case NGHTTP2_ENHANCE_YOUR_CALM:
	case NGHTTP2_INTERNAL_ERROR:
		return "the HTTP/2 connection exceeded a limit and is closed";
	case NGHTTP2_COMPRESSION_ERROR:
		return "the HTTP/2 connection is closed: header compression is broken";
	case NGHTTP2_FLOW_CONTROL_ERROR:
		return "the HTTP/2 connection is closed: flow control was not kept";
	default:
		return "the HTTP/2 connection is closed: the protocol was not kept";
	}
}

/* Every limit that nghttp2 keeps for us ends in this frame. */
static int on_before_send(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	(void)session;
	if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR)
		tell_fault(arg, goaway_reason(frame->goaway.error_code));
	return 0;
}

/*
 * An answer that did not wait for the whole request. The rest of it is taken and thrown away up to
 * H2_DISCARD_MAX: a reset with NO_ERROR, as section 8.1 has it, makes curl forget the answer.
 */
static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2_stream *st = find_stream(session, frame->hd.stream_id);
	struct h2 *h = arg;

	if (st && h->role == H2_SERVER && st->part != PART_DONE &&
		(frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
		(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		st->is_answer_whole = true;
	return 0;
}

static nghttp2_session_callbacks *callbacks_new(void)
{
	nghttp2_session_callbacks *cb;

	if (nghttp2_session_callbacks_new(&cb) != 0)
		return NULL;
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_invalid_header_callback(cb, on_invalid_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data_chunk);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid_frame);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
	nghttp2_session_callbacks_set_before_frame_send_callback(cb, on_before_send);
	return cb;
}

static nghttp2_option *options_new(void)
{
	nghttp2_option *o;

	if (nghttp2_option_new(&o) != 0)
		return NULL;
	nghttp2_option_set_no_auto_window_update(o, 1);
	nghttp2_option_set_max_reserved_remote_streams(o, 0);
	nghttp2_option_set_stream_reset_rate_limit(o, H2_RESET_BURST, H2_RESET_RATE);
	nghttp2_option_set_max_continuations(o, H2_CONTINUATIONS_MAX);
	nghttp2_option_set_max_settings(o, H2_SETTINGS_MAX);
	nghttp2_option_set_max_outbound_ack(o, H2_ACKS_MAX);
	nghttp2_option_set_no_closed_streams(o, 1);
	return o;
}

static int open_session(struct h2 *h)
{
	nghttp2_session_callbacks *cb = callbacks_new();
	nghttp2_option *o = options_new();
	int r = -1;

	if (cb && o && h->role == H2_SERVER)
		r = nghttp2_session_server_new2(&h->session, cb, h, o);
	else if (cb && o)
		r = nghttp2_session_client_new2(&h->session, cb, h, o);
	nghttp2_session_callbacks_del(cb);
	nghttp2_option_del(o);
	return r;
}

static int submit_settings(struct h2 *h)
{
	nghttp2_settings_entry list[] = {
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_STREAM_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP2_HEAD_MAX },
		{ h->role == H2_SERVER ? NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS
				       : NGHTTP2_SETTINGS_ENABLE_PUSH,
			h->role == H2_SERVER ? H2_STREAMS_MAX : 0 },
	};
	int r = nghttp2_submit_settings(
		h->session, NGHTTP2_FLAG_NONE, list, sizeof(list) / sizeof(list[0]));

	return r != 0 ? r
		      : nghttp2_session_set_local_window_size(
				h->session, NGHTTP2_FLAG_NONE, 0, H2_WINDOW);
}

struct h2 *h2_new(enum h2_role role, const struct h2_handler *handler, void *arg)
{
	struct h2 *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->role = role;
	h->handler = handler;
	h->arg = arg;
	TAILQ_INIT(&h->streams);
	if (open_session(h) == 0 && submit_settings(h) == 0)
		return h;
	h2_free(h);
	return NULL;
}

void h2_free(struct h2 *h)
{
	struct h2_stream *st;

	if (!h)
		return;
	nghttp2_session_del(h->session);
	while ((st = TAILQ_FIRST(&h->streams)))
		stream_free_(st);
	free(h);
}

int h2_recv(struct h2 *h, const void *data, size_t len)
{
	ssize_t n = nghttp2_session_mem_recv(h->session, data, len);

	if (n == NGHTTP2_ERR_NOMEM)
		return -ENOMEM;
	return n < 0 || (size_t)n != len ? -EPROTO : 0;
}

/* Tells the owners of streams whose bytes have left, once each. */
static void tell_room(struct h2 *h)
{
	struct h2_stream *st, *next;

	for (st = TAILQ_FIRST(&h->streams); st; st = next) {
		next = TAILQ_NEXT(st, link);
		if (!st->has_drained)
			continue;
		st->has_drained = false;
		if (h->handler->on_room && !st->is_ended)
			h->handler->on_room(h->arg, st);
	}
}

int h2_send(struct h2 *h, struct buf *out)
{
	int r = 0;

	while (r == 0 && out->len < H2_OUT_MAX && buf_room(out) >= SEND_UNIT) {
		const uint8_t *data;
		ssize_t n = nghttp2_session_mem_send(h->session, &data);

		if (n <= 0) {
			r = n < 0 ? -ENOMEM : 0;
			break;
		}
		r = buf_append(out, data, (size_t)n);
	}
	tell_room(h);
	return r < 0 ? -ENOMEM : 0;
}

bool h2_wants_send(const struct h2 *h)
{
	return nghttp2_session_want_write(h->session);
}

bool h2_is_done(const struct h2 *h)
{
	return !nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session);
}

void h2_shutdown(struct h2 *h)
{
	int32_t last = nghttp2_session_get_last_proc_stream_id(h->session);

	if (h->is_closing)
		return;
	h->is_closing = true;
	(void)nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0);
}

bool h2_is_greeted(const struct h2 *h)
{
	return h->is_greeted;
}

unsigned int h2_count(const struct h2 *h)
{
	return h->n_streams;
}

/* A list of fields for nghttp2, which copies what it is given. */
struct list {
	nghttp2_nv nv[HTTP1_HEADERS_MAX + PSEUDO_MAX];
	size_t n;
	char names[NAMES_MAX]; /* in lower case */
	size_t used;
};

static void add(struct list *l, const char *name, const char *value, size_t len)
{
	l->nv[l->n++] = (nghttp2_nv){ (uint8_t *)name, (uint8_t *)value, strlen(name), len,
		NGHTTP2_NV_FLAG_NONE };
}

static int add_fields(struct list *l, const struct http1_header *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct http1_header *f = &list[i];
		char *name = l->names + l->used;

		if (f->is_hop || f->id == HTTP1_TRAILER)
			continue;
		if (l->n == HTTP1_HEADERS_MAX + PSEUDO_MAX || f->name_len > NAMES_MAX - l->used)
			return -EMSGSIZE;
		for (size_t j = 0; j < f->name_len; j++)
			name[j] = f->name[j] >= 'A' && f->name[j] <= 'Z' ? (char)(f->name[j] | 0x20)
									 : f->name[j];
		l->used += f->name_len;
		l->nv[l->n++] = (nghttp2_nv){ (uint8_t *)name, (uint8_t *)f->value, f->name_len,
			f->value_len, NGHTTP2_NV_FLAG_NONE };
	}
	return 0;
}

/* The body has gone: trailers may follow it now, and would overtake it before. */
static int submit_tail(struct h2_stream *st)
{
	struct list l = { .n = 0 };

	if (add_fields(&l, st->tail, st->n_tail) < 0)
		return -1;
	return nghttp2_submit_trailer(st->h->session, st->id, l.nv, l.n);
}

/* nghttp2 asks for body bytes. */
static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *out, size_t len,
	uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	struct h2_stream *st = source->ptr;
	size_t n = st->out.len < len ? st->out.len : len;

	(void)session;
	(void)id;
	(void)arg;
	if (n) {
		memcpy(out, buf_head(&st->out), n);
		buf_consume(&st->out, n);
		st->has_drained = true;
	}
	if (st->out.len || !st->is_ended)
		return n ? (ssize_t)n : NGHTTP2_ERR_DEFERRED;
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (st->n_tail) {
		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
		if (submit_tail(st) != 0)
			return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	}
	return (ssize_t)n;
}

/* @storage: 24 bytes that live until the list is submitted. */
static void add_length(struct list *l, char *storage, uint64_t length)
{
	int n = snprintf(storage, 24, "%llu", (unsigned long long)length);

	add(l, "content-length", storage, (size_t)n);
}

bool h2_can_request(const struct h2 *h)
{
	uint32_t max = nghttp2_session_get_remote_settings(
		h->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);

	return !h->is_closing && nghttp2_session_check_request_allowed(h->session) &&
	       h->n_streams < max && h->n_streams < H2_STREAMS_MAX;
}

/* host[:port], as :authority has it. */
static int format_authority(struct buf *b, const struct http1_send *s)
{
	const struct url_authority *a = s->authority;
	int r = buf_printf(b, a->is_ipv6 ? "[%s]" : "%s", a->host);

	if (r == 0 && a->port && a->port != s->default_port)
		r = buf_printf(b, ":%u", a->port);
	return r;
}

static int format_target(struct buf *b, const struct http1_send *s)
{
	int r = buf_puts(b, s->path);

	if (r == 0 && s->query)
		r = buf_putc(b, '?');
	return r == 0 && s->query ? buf_append(b, s->query, s->query_len) : r;
}

static int submit_request(struct h2_stream *st, const struct list *l, bool has_body)
{
	nghttp2_data_provider body = { .source.ptr = st, .read_callback = read_body };
	int32_t id = nghttp2_submit_request(
		st->h->session, NULL, l->nv, l->n, has_body ? &body : NULL, st);

	if (id < 0)
		return id == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE ? -EAGAIN : -ENOMEM;
	st->id = id;
	st->is_ended = !has_body;
	return 0;
}

static int build_request(struct list *l, const struct http1_send *s, bool is_https,
	struct buf *authority, struct buf *target)
{
	int r = format_authority(authority, s);

	if (r == 0)
		r = format_target(target, s);
	if (r < 0)
		return r == -ENOBUFS ? -EMSGSIZE : r;
	add(l, ":method", s->method, strlen(s->method));
	add(l, ":scheme", is_https ? "https" : "http", is_https ? 5 : 4);
	add(l, ":authority", buf_head(authority), authority->len);
	add(l, ":path", buf_head(target), target->len);
	add(l, "te", "trailers", 8);
	if (s->via)
		add(l, "via", "1.1 openshell-sandbox", 21);
	return 0;
}

int h2_request(struct h2 *h, const struct http1_send *s, bool is_https,
	const struct http1_header *list, size_t n, struct h2_stream **ret)
{
	auto_buf struct buf authority = { .max = 1024 }, target = { .max = HTTP1_HEAD_MAX };
	struct list l = { .n = 0 };
	struct h2_stream *st;
	char length[24];
	int r;

	if (!h2_can_request(h))
		return -EAGAIN;
	r = build_request(&l, s, is_https, &authority, &target);
	if (r == 0 && s->framing == HTTP1_LENGTH)
		add_length(&l, length, s->content_length);
	if (r == 0)
		r = add_fields(&l, list, n);
	if (r < 0)
		return r;
	st = stream_new(h, 0);
	if (!st)
		return -ENOMEM;
	r = strlen(s->method) > HTTP1_METHOD_MAX ? -EMSGSIZE : 0;
	if (r == 0) {
		memcpy(st->method, s->method, strlen(s->method) + 1);
		r = submit_request(st, &l,
			s->framing == HTTP1_CHUNKED ||
				(s->framing == HTTP1_LENGTH && s->content_length));
	}
	if (r < 0) {
		stream_free_(st);
		return r;
	}
	st->is_known = true;
	*ret = st;
	return 0;
}

static int submit_answer(struct h2_stream *st, const struct http1_answer *a, const struct list *l)
{
	nghttp2_data_provider body = { .source.ptr = st, .read_callback = read_body };
	bool has_body = a->framing == HTTP1_CHUNKED || a->framing == HTTP1_UNTIL_CLOSE ||
			(a->framing == HTTP1_LENGTH && a->content_length);

	if (a->status < 200)
		return nghttp2_submit_headers(
			st->h->session, NGHTTP2_FLAG_NONE, st->id, NULL, l->nv, l->n, NULL);
	st->is_answered = true;
	st->is_ended = !has_body;
	return nghttp2_submit_response(
		st->h->session, st->id, l->nv, l->n, has_body ? &body : NULL);
}

int h2_respond(struct h2_stream *st, const struct http1_answer *a, const struct http1_header *list,
	size_t n)
{
	struct list l = { .n = 0 };
	char status[8], length[24];
	int r;

	if (st->is_answered || a->status == 101)
		return -EINVAL;
	(void)snprintf(status, sizeof(status), "%03u", a->status);
	add(&l, ":status", status, 3);
	if (a->framing == HTTP1_LENGTH || a->announces_length)
		add_length(&l, length, a->content_length);
	r = add_fields(&l, list, n);
	if (r < 0)
		return r;
	return submit_answer(st, a, &l) == 0 ? 0 : -ENOMEM;
}

size_t h2_write_room(const struct h2_stream *st)
{
	return st->is_ended ? 0 : buf_room(&st->out);
}

size_t h2_write(struct h2_stream *st, const void *data, size_t len)
{
	size_t room = h2_write_room(st), n = len < room ? len : room;

	if (!n || buf_append(&st->out, data, n) < 0)
		return 0;
	(void)nghttp2_session_resume_data(st->h->session, st->id);
	return n;
}

static int keep_tail(struct h2_stream *st, const struct http1_header *list, size_t n)
{
	struct http1_header *tail = arena_array(&st->tail_arena, n, sizeof(*tail));
	size_t kept = 0;

	for (size_t i = 0; i < n && tail; i++) {
		if (list[i].is_hop)
			continue;
		tail[kept] = list[i];
		tail[kept].name = arena_strndup(&st->tail_arena, list[i].name, list[i].name_len);
		tail[kept].value = arena_strndup(&st->tail_arena, list[i].value, list[i].value_len);
		if (!tail[kept].name || !tail[kept].value)
			return -ENOMEM;
		kept++;
	}
	if (!tail)
		return -ENOMEM;
	st->tail = tail;
	st->n_tail = kept;
	return 0;
}

int h2_end(struct h2_stream *st, const struct http1_header *trailers, size_t n)
{
	int r = 0;

	if (st->is_ended)
		return 0;
	if (n)
		r = keep_tail(st, trailers, n);
	if (r < 0)
		return r;
	st->is_ended = true;
	(void)nghttp2_session_resume_data(st->h->session, st->id);
	return 0;
}

void h2_consume(struct h2_stream *st, size_t len)
{
	if (len > st->unconsumed)
		len = st->unconsumed;
	st->unconsumed -= len;
	(void)nghttp2_session_consume(st->h->session, st->id, len);
}

void h2_reset(struct h2_stream *st, uint32_t error)
{
	(void)nghttp2_submit_rst_stream(st->h->session, NGHTTP2_FLAG_NONE, st->id, error);
}

void h2_set_user(struct h2_stream *st, void *user)
{
	st->user = user;
}

void *h2_user(const struct h2_stream *st)
{
	return st->user;
}
