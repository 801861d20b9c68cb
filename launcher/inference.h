/*
 * The route of https://inference.local: which provider and which model. One for all sandboxes of the user.
 *
 *	$XDG_CONFIG_HOME/openshell/inference.json	0600: provider, model, timeout; no secret
 */
#pragma once

#include <stdbool.h>

#include "lib/err.h"
#include "lib/inference_route.h"

struct inference_setting {
	char provider[INFERENCE_WORD_MAX + 1], model[INFERENCE_MODEL_MAX + 1];
	unsigned int timeout_s; /* 0: INFERENCE_TIMEOUT_S */
};

/* 1: there is one; 0: none; -errno with text. */
int inference_load(struct inference_setting *ret, struct err *err);
int inference_save(const struct inference_setting *s, struct err *err);
/* -ENOENT: there was none. */
int inference_remove(struct err *err);

/* The route that @s makes with its provider as that is now; to be released with inference_route_free(), which
 * wipes it. NULL with text and hint. */
struct inference_route *inference_route_make(const struct inference_setting *s, struct err *err);
void inference_route_free(struct inference_route *r);

/* Checks one --config KEY=VALUE of a provider of @type: 1 and where it belongs ("base_url", "region"), 0: it is
 * none of ours, -EINVAL with text. */
int inference_config_check(const char *type, const char *pair, const char **ret_key, const char **ret_value,
	struct err *err);

/* Asks the server for its models, by curl: 0, or -errno with text and hint. */
int inference_verify(const struct inference_route *r, struct err *err);

enum inference_deliver {
	INFERENCE_DELIVER_AHEAD = 0, /* of what will need it, on the same connection; nothing when nothing is set */
	INFERENCE_DELIVER_WAIT,	  /* until it is in force; the same */
	INFERENCE_DELIVER_NEWS,	  /* and also that nothing is set */
};
/* Sends what is set now to the supervisor behind @sock. 0 or -errno with text. */
int inference_deliver(int sock, enum inference_deliver how, struct err *err);
/* Tells every sandbox that runs; what fails is said. False then. */
bool inference_tell_all(void);
/* After a change of @provider: the same, if the route is by it. */
bool inference_provider_changed(const char *provider);
/* Whether the route is by @provider. */
bool inference_uses(const char *provider);
