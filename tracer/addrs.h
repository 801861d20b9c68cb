/*
 * The addresses of a sandbox's network: fixed, because every sandbox has a network namespace of
 * its own. Nothing but loopback exists there; these addresses lie on it.
 */
#pragma once

/* The sandbox's second address: source of its "outside" connections, the proxy, the resolver. */
#define ADDRS_HOST4 "10.200.0.1"
#define ADDRS_HOST6 "fd6f:7065:6e73::1"

/* What names resolve to (RFC 2544's benchmarking block, and a ULA prefix of ours). */
#define ADDRS_SYNTH4	  "198.18.0.0"
#define ADDRS_SYNTH4_BITS 15
#define ADDRS_SYNTH6	  "fd6f:7065:6e73:53::"
#define ADDRS_SYNTH6_BITS 64

enum { ADDRS_PROXY_PORT = 3128, ADDRS_DNS_PORT = 53 };
