/*
 * A Java key store of trusted certificates (JKS), which is where Java looks and nobody else.
 *
 * Made from PEM text and not from the host's store, so that it trusts what everything else in the
 * sandbox trusts. Its password is Java's own, "changeit": it keeps nothing secret.
 */
#pragma once

#include <stddef.h>

#include "lib/buf.h"

/*
 * Appends a store of all certificates in @pem to @out, which has to be empty; what is no
 * certificate is left out. 0, -ENOMEM, -ENOBUFS beyond @out's limit.
 */
int javastore_build(struct buf *out, const char *pem);
