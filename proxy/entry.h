/*
 * The ways in: explicit proxy (CONNECT, absolute-form) and transparent connections. All of them
 * become one question to policy, one resolution, one check of the addresses; then the connection
 * is inspected (exchange.c), relayed (relay.c), or refused in words its client understands.
 */
#pragma once

#include "proxy/conn.h"

void entry_begin(struct conn *c);
void entry_on_head(struct conn *c, uint32_t events);
/* A client of forward mode stays: its next head may ask for anything, as its first could. */
void entry_next(struct conn *c);
void entry_on_deadline(struct conn *c);
void entry_on_leg_ready(struct conn *c);
void entry_on_leg_failed(struct conn *c, const char *text);

/* Connects to where the connection was decided to go, and relays. */
void entry_relay(struct conn *c);
/* A failure that is nobody's decision: 502 and the like. */
void entry_fault(struct refusal *r, unsigned int status, const char *error, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
