#include "launcher/inference.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/ctl.h"
#include "launcher/out.h"
#include "launcher/provider.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/jsontext.h"
#include "lib/msg.h"
#include "lib/placeholder.h"
#include "lib/proto.h"
#include "lib/state.h"
#include "lib/str.h"
#include "lib/strv.h"

enum { FILE_MAX = 64 * 1024, ANSWER_MS = 10 * 1000, ROUTE_MAX = 64 * 1024 };

static const char file[] = "inference.json";

/* --- the file --- */

static bool take(const json_t *o, struct inference_setting *ret)
{
	const char *provider = json_string_value(json_object_get(o, "provider"));
	const char *model = json_string_value(json_object_get(o, "model"));
	json_int_t timeout = json_integer_value(json_object_get(o, "timeout_s"));

	*ret = (struct inference_setting){ .timeout_s = (unsigned int)timeout };
	return provider && model && str_copy(ret->provider, sizeof(ret->provider), provider) &&
	       str_copy(ret->model, sizeof(ret->model), model) && inference_model_is_good(model) && timeout >= 0 &&
	       timeout <= INFERENCE_TIMEOUT_MAX_S;
}

int inference_load(struct inference_setting *ret, struct err *err)
{
	auto_close int dir = state_config_open(err);
	auto_free char *text = NULL;
	json_t *o;
	size_t len;
	bool ok;
	int r = dir < 0 ? dir : fd_slurp_at(dir, file, FILE_MAX, &text, &len);

	if (r < 0)
		return r == -ENOENT ? 0 : dir < 0 ? r : err_set(err, r, "%s: %s", file, err_name(r));
	o = jsontext_load(text, len, JSON_REJECT_DUPLICATES, NULL);
	ok = take(o, ret);
	json_decref(o);
	return ok ? 1 : err_set(err, -EIO, "%s cannot be read: openshell inference set writes it anew", file);
}

int inference_save(const struct inference_setting *s, struct err *err)
{
	auto_close int dir = state_config_open(err);
	auto_free char *text = NULL;
	json_t *o = json_pack("{s:s, s:s, s:i}", "provider", s->provider, "model", s->model, "timeout_s",
		(int)s->timeout_s);
	int r = dir;

	text = o ? jsontext_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	if (dir < 0)
		return dir;
	r = text ? fd_replace_file(dir, file, text, strlen(text)) : -ENOMEM;
	return r < 0 ? err_set(err, r, "%s: %s", file, err_name(r)) : 0;
}

int inference_remove(struct err *err)
{
	auto_close int dir = state_config_open(err);

	if (dir < 0)
		return dir;
	if (unlinkat(dir, file, 0) == 0)
		return 0;
	return errno == ENOENT ? -ENOENT : err_set(err, -errno, "%s: %s", file, err_name(errno));
}

/* --- providers --- */

int inference_config_check(const char *type, const char *pair, const char **ret_key, const char **ret_value,
	struct err *err)
{
	const struct inference_type *t = inference_type(type);
	const char *eq = strchr(pair, '=');
	size_t n = eq ? (size_t)(eq - pair) : 0;
	struct inference_route *r;
	int e;

	if (!t || t->why_not || !eq)
		return 0;
	*ret_value = eq + 1;
	if ((n == strlen("region") && str_starts(pair, "region=")) ||
		(n == strlen("AWS_REGION") && str_starts(pair, "AWS_REGION="))) {
		*ret_key = "region";
		if (t->style != INFERENCE_BEDROCK)
			return 0;
		return aws_is_word(eq + 1) ? 1 : err_set(err, -EINVAL, "--config region: '%.64s' is none", eq + 1);
	}
	if (!str_starts(pair, "base_url=") &&
		!(t->base_key && n == strlen(t->base_key) && str_starts(pair, t->base_key)))
		return 0;
	*ret_key = "base_url";
	r = calloc(1, sizeof(*r));
	e = r ? inference_base_parse(r, eq + 1, err) : -ENOMEM;
	free(r);
	return e < 0 ? err_wrap(err, e, "--config") : 1;
}

static const char *text_of(const json_t *p, const char *group, const char *key)
{
	return json_string_value(json_object_get(json_object_get(p, group), key));
}

static int take_text(char *ret, size_t size, const char *text)
{
	return str_copy(ret, size, text ? text : "") ? 0 : -EMSGSIZE;
}

/* Which secret it is: that of the type, or of a generic provider the only one. */
static const char *secret_of(const json_t *p, const struct inference_type *t)
{
	json_t *all = json_object_get(p, "credentials");

	if (t->secret_key)
		return text_of(p, "credentials", t->secret_key);
	if (json_object_size(all) == 1)
		return json_string_value(json_object_iter_value(json_object_iter(all)));
	return text_of(p, "credentials", "OPENAI_API_KEY");
}

static int take_secrets(struct inference_route *r, const json_t *p, const struct inference_type *t)
{
	const char *bearer = t->style == INFERENCE_BEDROCK ? text_of(p, "credentials", "AWS_BEARER_TOKEN_BEDROCK") : NULL;
	const char *key_id = t->style == INFERENCE_BEDROCK ? text_of(p, "credentials", "AWS_ACCESS_KEY_ID") : NULL;
	const char *secret = bearer ? bearer : secret_of(p, t);
	int e = secret && (bearer || key_id || t->style != INFERENCE_BEDROCK) ? 0 : -ENOKEY;

	if (e == 0)
		e = take_text(r->secret, sizeof(r->secret), secret);
	if (e == 0 && !bearer)
		e = take_text(r->key_id, sizeof(r->key_id), key_id);
	if (e == 0 && key_id && !bearer)
		e = take_text(r->token, sizeof(r->token), text_of(p, "credentials", "AWS_SESSION_TOKEN"));
	return e;
}

static int take_server(struct inference_route *r, const json_t *p, const struct inference_type *t, struct err *err)
{
	const char *own = text_of(p, "config", "base_url"), *region = text_of(p, "config", "region");
	char url[256];

	r->is_own = own != NULL;
	if (take_text(r->region, sizeof(r->region), region) < 0)
		return -EINVAL;
	if (t->style == INFERENCE_BEDROCK && !region)
		return err_set(err, -EINVAL, "provider '%s' has no region: openshell provider update %s --config region=…",
			r->provider, r->provider);
	if (own)
		return inference_base_parse(r, own, err);
	if (t->style != INFERENCE_BEDROCK && !t->base_url)
		return err_set(err, -EINVAL,
			"provider '%s', of type '%s', names no server: openshell provider update %s --config base_url=URL",
			r->provider, r->type, r->provider);
	if (!t->base_url)
		(void)str_format(url, sizeof(url), "https://bedrock-runtime.%s.amazonaws.com", region);
	return inference_base_parse(r, t->base_url ? t->base_url : url, err);
}

static int check_type(const struct inference_setting *s, const char *type, struct err *err)
{
	const struct inference_type *t = inference_type(type);

	if (t && !t->why_not)
		return 0;
	if (t)
		return err_set(err, -EINVAL, "provider '%s', of type '%s', cannot be a route: %s", s->provider, type,
			t->why_not);
	(void)err_set(err, -EINVAL, "provider '%s' is of type '%s', which is not known to have models", s->provider,
		type);
	return err_hint(err, -EINVAL,
		"openai, anthropic, nvidia, deepinfra and aws-bedrock are; or generic with --config base_url=URL");
}

static int fill(struct inference_route *r, const struct inference_setting *s, const json_t *p, struct err *err)
{
	const char *type = json_string_value(json_object_get(p, "type"));
	const struct inference_type *t = inference_type(type);
	int e = check_type(s, type, err);

	if (e < 0)
		return e;
	r->timeout_s = s->timeout_s ? s->timeout_s : INFERENCE_TIMEOUT_S;
	(void)str_copy(r->provider, sizeof(r->provider), s->provider);
	(void)str_copy(r->type, sizeof(r->type), type);
	(void)str_copy(r->model, sizeof(r->model), s->model);
	e = take_server(r, p, t, err);
	if (e < 0)
		return e;
	e = take_secrets(r, p, t);
	return e == -ENOKEY ? err_set(err, e, "provider '%s' has no %s", s->provider,
				      t->secret_key ? t->secret_key : "OPENAI_API_KEY, and not one key alone") :
			      e;
}

struct inference_route *inference_route_make(const struct inference_setting *s, struct err *err)
{
	struct inference_route *r = calloc(1, sizeof(*r));
	json_t *p = r ? provider_load(s->provider, err) : NULL;
	int e = p ? fill(r, s, p, err) : -ENOENT;

	provider_free(p);
	if (e == 0)
		return r;
	if (!err->text[0])
		(void)err_set(err, e, "inference: %s", err_name(e));
	inference_route_free(r);
	return NULL;
}

void inference_route_free(struct inference_route *r)
{
	if (r)
		explicit_bzero(r, sizeof(*r));
	free(r);
}

bool inference_uses(const char *provider)
{
	struct inference_setting s;
	struct err err = { 0 };

	return inference_load(&s, &err) == 1 && str_eq(s.provider, provider);
}

/* --- running sandboxes --- */

static int send_bytes(int sock, const struct buf *route, bool is_answered, struct err *err)
{
	struct msg_out m;
	int r;

	msg_out_init(&m, CTL_INFERENCE, 0);
	msg_put_bytes(&m, route->len ? buf_head(route) : "", route->len);
	msg_put_u32(&m, is_answered);
	r = ctl_send(sock, &m, err);
	msg_out_wipe(&m);
	return r;
}

/* One block from the start, as in provider.c. */
static int put_current(struct buf *out, struct err *err)
{
	struct inference_setting s;
	struct inference_route *route;
	int r = inference_load(&s, err);

	if (r <= 0)
		return r;
	route = inference_route_make(&s, err);
	if (!route)
		return -EINVAL;
	r = buf_reserve(out, ROUTE_MAX) ? inference_route_put(out, route) : -ENOMEM;
	inference_route_free(route);
	return r < 0 ? err_set(err, r, "inference: %s", err_name(r)) : 0;
}

int inference_deliver(int sock, enum inference_deliver how, struct err *err)
{
	auto_msg_in struct msg_in answer = { 0 };
	struct buf route;
	bool is_sent;
	int r;

	buf_init(&route, ROUTE_MAX);
	r = put_current(&route, err);
	is_sent = r == 0 && (route.len || how == INFERENCE_DELIVER_NEWS);
	if (is_sent)
		r = send_bytes(sock, &route, how != INFERENCE_DELIVER_AHEAD, err);
	placeholder_wipe(&route);
	if (r < 0 || !is_sent || how == INFERENCE_DELIVER_AHEAD)
		return r;
	return ctl_wait(sock, CTL_DONE, ANSWER_MS, &answer, NULL, err);
}

static int tell(const char *name, struct err *err)
{
	auto_state struct state *s = NULL;
	auto_close int sock = -1;

	if (state_open(&s, name, err) < 0 || !state_is_running(s))
		return 0;
	sock = state_control_connect(name, err);
	return sock < 0 ? sock : inference_deliver(sock, INFERENCE_DELIVER_NEWS, err);
}

bool inference_tell_all(void)
{
	auto_strv char **names = NULL;
	struct err err = { 0 };
	bool ok = state_list(&names, &err) == 0;

	for (char **n = names; n && *n; n++) {
		err = (struct err){ 0 };
		if (tell(*n, &err) == 0)
			continue;
		ok = false;
		(void)out_error(0, "sandbox '%s': %s", *n, err.text);
	}
	return ok;
}

bool inference_provider_changed(const char *provider)
{
	return !inference_uses(provider) || inference_tell_all();
}
