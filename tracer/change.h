/*
 * Policy revisions: accepted as a whole or not at all, numbered, and in force when the proxy has
 * said so.
 *
 * The supervisor decides by the new generation from the moment it was sent to the proxy; messages
 * to the proxy keep their order, so a connection registered afterwards is judged by it there too.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/msg.h"

struct control;
struct sandbox;

/*
 * The policy that a start decides by: the newest revision, or for a new sandbox @yaml (NULL: the
 * default). 0, or -errno with text.
 */
int change_first(struct sandbox *s, const char *yaml, bool is_new, struct err *err);
/* Records revision 1 of a new sandbox on disk. */
int change_record_first(struct sandbox *s, struct err *err);
/* CTL_POLICY_SET: answers @c now (refused, unchanged) or when the proxy has taken it over. */
void change_set(struct sandbox *s, struct control *c, struct msg_in *m);
/* PROXY_POLICY_DONE. */
void change_done(struct sandbox *s, struct msg_in *m);
/* A launcher that waits is gone. */
void change_abandon(struct sandbox *s, struct control *c);
/* The sandbox ends: nobody will answer any more. */
void change_end_all(struct sandbox *s);
/* Sends the policy in force to the proxy that is starting. */
int change_send_current(struct sandbox *s, struct err *err);
