/*
 * The openshell/regex middleware: whatever matches sk-[A-Za-z0-9_-]{16,} becomes [REDACTED]
 * before a request body or a WebSocket text message goes upstream.
 */
#pragma once

#include <stddef.h>

struct buf;

enum { REDACT_BODY_MAX = 256 * 1024 /* bytes that are looked at; larger bodies are refused */ };

/*
 * Appends @body to @out with every match replaced. The number of matches; -EFBIG beyond the
 * maximum, -EILSEQ when it is not UTF-8 (compressed, binary): what cannot be read must not pass.
 * -ENOBUFS, -ENOMEM. @out needs room for @len bytes: a match is longer than what replaces it.
 */
int redact(struct buf *out, const char *body, size_t len);
