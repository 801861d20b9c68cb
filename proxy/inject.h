/*
 * Secrets in place of their placeholders: the last thing that happens to a request before it is
 * written to the server, after policy, the log and the connection to a server that showed who it
 * is. What is kept of a request, judged and logged, has the placeholders in it.
 */
#pragma once

#include <stdbool.h>

#include "proxy/conn.h"
#include "proxy/request.h"

/* Notes what will be replaced in the request in ex.head, of which @head_len bytes are its head. */
void inject_note(struct conn *c, const struct judged *j, size_t head_len);
/* Whether it can be: 0 (and it is in the log), or it was refused with exchange_fault(): -EACCES. */
int inject_check(struct conn *c);
/* Writes the request to the server as side_send() does; -EACCES as above. */
int inject_send(struct conn *c);
/* Bytes of a body that streams through: false when there is a placeholder in it. */
bool inject_scan(struct conn *c, const char *data, size_t len);
/* A client's WebSocket message: appended to @out as it goes up. 0 or -errno. */
int inject_message(struct conn *c, const char *text, size_t len, struct buf *out);
