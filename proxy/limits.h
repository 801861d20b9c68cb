/*
 * Everything a peer can make the proxy hold, wait for or repeat, with its name and value.
 * docs/limits.md is the same table for people, with the outcome of each.
 */
#pragma once

enum {
	/* Counts. */
	CONNS_MAX = 4096,	  /* client connections of the sandbox; beyond: reset, logged */
	TUPLES_MAX = 8192,	  /* registered and not yet accepted; beyond: the oldest goes */
	RELAY_PIPES_SPARE = 16,	  /* empty pipes kept for the next relay */
	LEAVES_MAX = 256,	  /* minted certificates; beyond: the least recently used goes */
	TARGETS_MAX = 1024,	  /* distinct (host, port, identity, generation) remembered */
	IDLE_PER_TARGET_MAX = 64, /* warm upstream connections of one target */
	IDLE_MAX = 256,		  /* of all targets together; beyond: the oldest is closed */
	DIALS_MAX = 512,	  /* connects in flight; beyond: 503 */
	RESOLVES_MAX = 256,	  /* questions in flight; beyond: 503 */
	RESOLVED_ADDRS_MAX = 16,  /* addresses of one answer; the rest is not looked at */
	RESOLVE_CACHE_MAX = 64,	  /* answers remembered */
	UNTOUCHED_MAX = 64,	  /* hosts whose clients refuse our leaves under --audit */
	CONNECT_TO_MAX = 256,	  /* pinned addresses an operator can give */
	INTERIM_MAX = 128,	  /* 1xx answers to one request; beyond: 502 */

	/* Bytes. */
	/* request and response heads: lib/http1.h */
	HELLO_MAX = 64 * 1024,		    /* ClientHello: alert, close */
	SEND_PENDING_MAX = 256 * 1024,	    /* bytes kept for one side that does not read */
	SCRATCH_SIZE = 64 * 1024,	    /* one read; shared by all connections */
	INSPECT_BODY_MAX = 4 * 1024 * 1024, /* whatever an endpoint asks for: 413 */
	SIGN_BODY_MAX = 10 * 1024 * 1024,   /* a body whose hash is signed: 413 */
	GUESS_BODY_MAX =
		64 * 1024, /* audit looks into bodies that no endpoint speaks of; streamed beyond */
	EXCHANGE_HEAD_MAX =
		SIGN_BODY_MAX + 64 * 1024, /* a request as it goes up: head, body that was collected */
	INTERIM_BYTES_MAX = 64 * 1024,	      /* 1xx heads to one request together: 502 */
	SIDE_IN_MAX = 96 * 1024,	      /* read and not yet understood, one side */
	WRITING_MAX = 512 * 1024,	      /* one message being put together */
	RELAY_PIPE_SIZE = 256 * 1024,
	PUMP_BUDGET = 1024 * 1024, /* bytes one connection moves before others get a turn */
	TRUST_STORE_MAX = 8 * 1024 * 1024,

	/* Milliseconds. */
	ACCEPT_PAUSE_MS = 100, /* when descriptors run out */
	SNIFF_MS = 10 * 1000,  /* first byte after CONNECT or connect() */
	WATCH_MS = 300,	       /* the same under --audit; then it is a server that speaks first */
	HANDSHAKE_MS = 15 * 1000, /* TLS with the client */
	GUESS_MS = 500,	     /* how long audit waits for the rest of such a body; then it streams */
	HEAD_MS = 30 * 1000, /* first to last byte of a request head: 408 */
	KEEPALIVE_MS = 120 * 1000,	   /* between requests: close */
	RESOLVE_MS = 10 * 1000,		   /* answer of the resolver: 502 */
	RESOLVE_FRESH_MS = 15 * 1000,	   /* how long an answer is used again */
	DIAL_STAGGER_MS = 250,		   /* before the next address is tried too (RFC 8305) */
	DIAL_MS = 15 * 1000,		   /* all addresses together: 502 */
	UPSTREAM_HANDSHAKE_MS = 15 * 1000, /* TLS with the server: 502 */
	PROXY_HANDSHAKE_MS = 30 * 1000,	   /* CONNECT through --upstream-proxy: 502 */
	RESPONSE_MS = 600 * 1000, /* no byte in either direction of an exchange: 504 or close */
	POST_IDLE_MS = 10 * 1000, /* warm connection for a request that cannot be repeated */
	SLEEP_MS = 2000,	  /* of the host: then no connection is warm any more */
	POOL_IDLE_MS = 60 * 1000, /* a warm connection nobody used */
	DRAIN_MS = 2 * 1000,	  /* lingering close, so that an answer is not lost to a reset */
	RELAY_IDLE_MS = 4 * 3600 * 1000, /* relay without a byte either way: close */
};
