#include "lib/operation.h"

#include <string.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/str.h"

static const char name_bytes[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:@$~+-";
static const char ellipsis[] = "\xe2\x80\xa6";

/* The text being written; what does not fit is left out from there on. */
struct writer {
	struct buf out;
	bool is_cut;
};

static void put(struct writer *w, const char *s)
{
	w->is_cut = w->is_cut || buf_puts(&w->out, s) < 0;
}

static void put_name(struct writer *w, const char *s)
{
	if (s[0] && !s[strspn(s, name_bytes)]) {
		put(w, s);
		return;
	}
	put(w, "\"");
	w->is_cut = w->is_cut || str_json_escape(&w->out, s, strlen(s)) < 0;
	put(w, "\"");
}

static void writer_init(struct writer *w)
{
	*w = (struct writer){ .is_cut = false };
	buf_init(&w->out, OPERATION_TEXT_MAX - sizeof(ellipsis));
}

static void writer_done(struct writer *w, char ret[OPERATION_TEXT_MAX])
{
	size_t n = w->out.len;

	if (n)
		memcpy(ret, buf_head(&w->out), n);
	memcpy(ret + n, w->is_cut ? ellipsis : "", w->is_cut ? sizeof(ellipsis) : 1);
	buf_done(&w->out);
}

void operation_of_graphql(char ret[OPERATION_TEXT_MAX], const struct graphql_facts *f)
{
	static const char *const types[] = { "persisted", "query", "mutation", "subscription" };
	struct writer w;

	writer_init(&w);
	for (size_t i = 0; i < f->n_ops; i++) {
		const struct graphql_op *op = &f->ops[i];

		put(&w, i ? " " : "");
		put(&w, types[op->type]);
		put(&w, op->name ? " " : "");
		if (op->name)
			put_name(&w, op->name);
		put(&w, "{");
		for (size_t k = 0; k < op->n_fields; k++) {
			put(&w, k ? "," : "");
			put_name(&w, op->fields[k]);
		}
		put(&w, "}");
	}
	writer_done(&w, ret);
}

void operation_of_jsonrpc(char ret[OPERATION_TEXT_MAX], const struct jsonrpc_facts *f)
{
	const char *between = "";
	struct writer w;

	writer_init(&w);
	put(&w, f->receive_stream ? OPERATION_STREAM : "");
	for (size_t i = 0; i < f->n_calls; i++) {
		put(&w, between);
		between = ", ";
		put_name(&w, f->calls[i].method);
		put(&w, f->calls[i].tool ? " " : "");
		if (f->calls[i].tool)
			put_name(&w, f->calls[i].tool);
	}
	if (f->has_response) {
		put(&w, between);
		put(&w, OPERATION_RESPONSE);
	}
	writer_done(&w, ret);
}

/* --- reading --- */

static size_t take_name(const char **p, const char **ret)
{
	size_t n = strspn(*p, name_bytes);

	*ret = *p;
	*p += n;
	return n;
}

static bool take(const char **p, const char *what)
{
	if (!str_starts(*p, what))
		return false;
	*p += strlen(what);
	return true;
}

bool operation_next_graphql(const char **text, struct operation *ret)
{
	struct operation o = { 0 };
	const char *p = *text, *field;

	o.type_len = take_name(&p, &o.type);
	if (!o.type_len)
		return false;
	o.name_len = take(&p, " ") ? take_name(&p, &o.name) : 0;
	if ((o.name && !o.name_len) || !take(&p, "{"))
		return false;
	o.detail = p;
	do {
		if (!take_name(&p, &field))
			return false;
	} while (take(&p, ","));
	o.detail_len = (size_t)(p - o.detail);
	if (!take(&p, "}") || (*p && !take(&p, " ")))
		return false;
	*ret = o;
	*text = p;
	return true;
}

bool operation_next_jsonrpc(const char **text, struct operation *ret)
{
	struct operation o = { .type = "" };
	const char *p = *text;

	o.name = p;
	if (!take(&p, OPERATION_RESPONSE) && !take(&p, OPERATION_STREAM) && !take_name(&p, &o.name))
		return false;
	o.name_len = (size_t)(p - o.name);
	if (take(&p, " "))
		o.detail_len = take_name(&p, &o.detail);
	if ((o.detail && !o.detail_len) || (*p && !take(&p, ", ")))
		return false;
	*ret = o;
	*text = p;
	return true;
}
