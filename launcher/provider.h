/*
 * Credential providers: secrets of the user, kept outside every sandbox, and where each may be
 *sent.
 *
 *	$XDG_CONFIG_HOME/openshell/providers/NAME.json		0600, one provider
 *	$XDG_CONFIG_HOME/openshell/provider-profiles/TYPE.yaml	the user's own types
 *	…/share/openshell/profiles/providers/TYPE.yaml		those that come with the program
 *	STATE/sandboxes/NAME/providers.json			which are attached, once that was
 *changed
 */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/spec.h"
#include "lib/state.h"

enum {
	PROVIDER_NAME_MAX = 63,
	PROVIDER_KEYS_MAX = 32, /* secrets of one */
	PROVIDERS_ATTACHED_MAX = 32,
	PROVIDER_ENDPOINTS_MAX = 64,
};

struct provider_endpoint {
	char host[256];
	char path[1024]; /* "" for all of them */
	uint16_t port;
};

/* A type: zeroed is empty. */
struct provider_profile {
	char name[PROVIDER_NAME_MAX + 1];
	char *description;		     /* owned */
	char **keys;			     /* variables it is usually in; owned */
	struct provider_endpoint *endpoints; /* owned */
	size_t n_endpoints;
};

#define auto_provider_profile __attribute__((cleanup(provider_profile_done)))
void provider_profile_done(struct provider_profile *p);
/* 0, -ENOENT with text and hint, -EINVAL with text. */
int provider_profile_load(const char *type, struct provider_profile *ret, struct err *err);
/* The names of all types, sorted: a strv of the caller. */
char **provider_profile_names(void);

/* "HOST:PORT[/PATH]". 0 or -EINVAL with text. */
int provider_endpoint_parse(const char *text, struct provider_endpoint *ret, struct err *err);

int provider_name_check(const char *name, struct err *err);
/* KEY and its secret. 0 or -EINVAL with text (never the secret). */
int provider_secret_check(const char *key, const char *secret, struct err *err);

/*
 * A provider as JSON: {"name", "type", "credentials": {KEY: SECRET}, "endpoints": ["H:P/PATH"],
 * "created_ms"}. To be released with provider_free(), which wipes the secrets.
 */
json_t *provider_new(const char *name, const char *type);
json_t *provider_load(const char *name, struct err *err);
int provider_put_secret(json_t *p, const char *key, const char *secret, struct err *err);
/* Takes what the type's variables hold in our environment: -ENOENT without text where that is nothing. */
int provider_take_existing(json_t *p, const struct provider_profile *profile, struct err *err);
int provider_save(const char *name, const json_t *p, struct err *err);
/* -ENOENT when there is none. */
int provider_remove(const char *name);
void provider_free(json_t *p);
/* The names, sorted: a strv of the caller. */
char **provider_names(void);

/* Those attached to a sandbox: a strv of the caller. 0 or -errno with text. */
int provider_attached(const struct state *s, char ***ret, struct err *err);
int provider_attach_save(const struct state *s, char *const *names);

/*
 * Sends the secrets of @names to the supervisor behind @sock: -ENOENT for a provider that does not
 * exist, -EEXIST when two have a secret of one name. @is_answered waits until they are in force.
 */
int provider_send(int sock, char *const *names, bool is_answered, struct err *err);
/* The checks of provider_send() alone. */
int provider_check(char *const *names, struct err *err);
