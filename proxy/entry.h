/*
 * The ways in: explicit proxy (CONNECT, absolute-form) and transparent connections. All of them
 * become one question to policy, one resolution, one check of the addresses; then the connection
 * is inspected (exchange.c), relayed (relay.c), or refused in words its client understands.
 */
#pragma once

#include "proxy/conn.h"

void entry_begin(struct conn *c);
void entry_on_head(struct conn *c, uint32_t events);
void entry_on_sniff(struct conn *c, uint32_t events);
void entry_on_handshake(struct conn *c, uint32_t events);
void entry_on_deadline(struct conn *c);
void entry_on_leg_ready(struct conn *c);
void entry_on_leg_failed(struct conn *c, const char *text);
