/*
 * The secrets of attached providers on their way from the launcher to the proxy: opaque bytes, kept
 * in memory because the proxy starts later than the sandbox, and wiped when others take their
 * place. What commands see are placeholders in their environment.
 */
#pragma once

#include <stddef.h>

#include "lib/msg.h"

struct control;
struct sandbox;

struct credentials {
	char **env;    /* KEY=PLACEHOLDER, owned */
	char *secrets; /* owned */
	size_t len;
};

/* CTL_CREDENTIALS. */
void credentials_take(struct sandbox *s, struct control *c, struct msg_in *m);
/* Tells the proxy. 0 or -errno. */
int credentials_tell(struct sandbox *s);
void credentials_done(struct credentials *cr);
