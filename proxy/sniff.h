/*
 * What a client speaks, told from its first bytes, whole or in pieces: TLS (then the leaf is chosen
 * by its ClientHello), HTTP/1, HTTP/2 with prior knowledge, or something that cannot be inspected.
 */
#pragma once

#include "proxy/conn.h"

void sniff_on_client(struct conn *c, uint32_t events);
void sniff_on_handshake(struct conn *c, uint32_t events);
/* --audit: clients of this host refuse our leaves; it is relayed. */
bool sniff_is_untouched(const struct conn *c);
