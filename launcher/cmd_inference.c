/* openshell inference: the model that https://inference.local reaches. */
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>

#include "launcher/cmd.h"
#include "launcher/inference.h"
#include "launcher/out.h"
#include "lib/cleanup.h"
#include "lib/str.h"

struct options {
	const char *provider, *model;
	bool no_verify;
	unsigned int timeout_s;
};

enum { NOT_GIVEN = INT_MAX };

#define AT(field) offsetof(struct options, field)

const struct cli_option cmd_inference_set_options[] = {
	{ CLI_STR, "provider", 0, AT(provider), 0, "NAME", "Whose server and credential: openshell provider list" },
	{ CLI_STR, "model", 0, AT(model), 0, "MODEL", "The model that every request gets, whichever it names" },
	{ CLI_FLAG, "no-verify", 0, AT(no_verify), 0, NULL, "Do not ask the server first" },
	{ CLI_UINT, "timeout", 0, AT(timeout_s), INFERENCE_TIMEOUT_MAX_S, "SECONDS",
		"How long an answer may take to begin (0: 60)" },
	{ CLI_REFUSED, "system", 0, 0, 0, NULL,
		"nothing of this edition asks a model on its own account; a route is for what runs in sandboxes" },
	{ CLI_END, NULL, 0, 0, 0, NULL, NULL },
};

/* Nothing is written before all of it is known to be good. */
static int apply(const struct inference_setting *s, bool is_verified)
{
	struct err err = { 0 };
	struct inference_route *route = inference_route_make(s, &err);
	int r = route ? 0 : -EINVAL;

	if (r == 0 && is_verified)
		r = inference_verify(route, &err);
	inference_route_free(route);
	if (r == 0)
		r = inference_save(s, &err);
	if (r < 0)
		return out_fail(CLI_FAILED, &err);
	out_done("https://inference.local is model %s of provider %s", s->model, s->provider);
	return inference_tell_all() ? CLI_OK : CLI_FAILED;
}

static int change(const struct options *o, struct inference_setting *s)
{
	if (o->provider && !str_copy(s->provider, sizeof(s->provider), o->provider))
		return out_error(CLI_FAILED, "--provider: the name is too long");
	if (o->model && (!str_copy(s->model, sizeof(s->model), o->model) || !inference_model_is_good(o->model)))
		return out_error(CLI_FAILED, "--model: up to %d printable characters without blanks", INFERENCE_MODEL_MAX);
	if (o->timeout_s != NOT_GIVEN)
		s->timeout_s = o->timeout_s;
	return apply(s, !o->no_verify);
}

int cmd_inference_set(const struct cli_command *cmd, int argc, char **argv)
{
	struct options o = { .timeout_s = NOT_GIVEN };
	struct inference_setting s = { .timeout_s = 0 };
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r >= 0)
		return r;
	if (!o.provider || !o.model)
		return cli_usage_error("--provider and --model are needed");
	return change(&o, &s);
}

static int none(void)
{
	(void)out_error(CLI_FAILED, "there is no inference route");
	out_hint("openshell inference set --provider NAME --model MODEL");
	return CLI_FAILED;
}

int cmd_inference_update(const struct cli_command *cmd, int argc, char **argv)
{
	struct options o = { .timeout_s = NOT_GIVEN };
	struct inference_setting s;
	struct err err = { 0 };
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r >= 0)
		return r;
	if (!o.provider && !o.model && o.timeout_s == NOT_GIVEN)
		return cli_usage_error("what is to change? --provider, --model or --timeout");
	r = inference_load(&s, &err);
	if (r < 0)
		return out_fail(CLI_FAILED, &err);
	return r == 0 ? none() : change(&o, &s);
}

/* A provider that is gone, or no longer good for it, is shown as well. */
static json_t *shown(const struct inference_setting *s, struct err *err)
{
	struct inference_route *r = inference_route_make(s, err);
	json_t *o = json_pack("{s:s, s:s, s:i}", "provider", s->provider, "model", s->model, "timeout_s",
		(int)(s->timeout_s ? s->timeout_s : INFERENCE_TIMEOUT_S));

	if (r) {
		json_object_set_new(o, "type", json_string(r->type));
		json_object_set_new(o, "endpoint", json_sprintf(r->server.is_ipv6 ? "%s://[%s]:%u%s" : "%s://%s:%u%s",
			r->is_tls ? "https" : "http", r->server.host, (unsigned int)r->server.port, r->base));
	}
	json_object_set_new(o, "usable", json_boolean(r != NULL));
	inference_route_free(r);
	return o;
}

static void print(const json_t *o, const struct err *err)
{
	const char *endpoint = json_string_value(json_object_get(o, "endpoint"));

	printf("Provider:  %s\nModel:     %s\nTimeout:   %lld s\n", json_string_value(json_object_get(o, "provider")),
		json_string_value(json_object_get(o, "model")),
		(long long)json_integer_value(json_object_get(o, "timeout_s")));
	if (endpoint)
		printf("Endpoint:  %s\n", endpoint);
	else
		out_note("it cannot be used: %s", err->text);
}

int cmd_inference_get(const struct cli_command *cmd, int argc, char **argv)
{
	enum out_format format = OUT_TABLE;
	struct inference_setting s;
	struct err err = { 0 };
	struct cli_args a;
	json_t *o;
	int r = cli_parse(cmd, argc, argv, &format, &a);

	if (r >= 0)
		return r;
	r = inference_load(&s, &err);
	if (r < 0)
		return out_fail(CLI_FAILED, &err);
	if (r == 0)
		return none();
	o = shown(&s, &err);
	if (format != OUT_TABLE)
		return out_json(o, format);
	print(o, &err);
	json_decref(o);
	return CLI_OK;
}

int cmd_inference_delete(const struct cli_command *cmd, int argc, char **argv)
{
	struct err err = { 0 };
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, NULL, &a);

	if (r >= 0)
		return r;
	r = inference_remove(&err);
	if (r == -ENOENT)
		return none();
	if (r < 0)
		return out_fail(CLI_FAILED, &err);
	out_done("https://inference.local has no route any more");
	return inference_tell_all() ? CLI_OK : CLI_FAILED;
}
