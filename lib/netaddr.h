/*
 * Internet addresses, prefixes, and what an address reaches.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* One address; IPv4 is kept as such, never as v4-mapped. Travels between our processes as bytes. */
struct netaddr {
	uint16_t family; /* AF_INET, AF_INET6; 0: none */
	uint16_t reserved;
	uint32_t scope; /* IPv6 zone index; 0: none */
	uint8_t bytes[16];
};

struct netprefix {
	struct netaddr addr;
	uint8_t bits;
};

#define NETADDR_TEXT_MAX 64

/*
 * What dialling an address would reach, worst first; the classification looks through v4-mapped,
 * v4-compatible, 6to4, Teredo and NAT64 (64:ff9b::/96, 64:ff9b:1::/48) forms.
 */
enum netaddr_class {
	NETADDR_BLOCKED = 0, /* never: loopback, link-local, unspecified, multicast, 0/8, 240/4 … */
	NETADDR_INTERNAL,    /* private, shared, documentation, benchmarking, ULA … */
	NETADDR_PUBLIC,
};

/* Strict text: dotted quad of four decimal numbers, or RFC 4291 text, no zone, no brackets. */
int netaddr_parse(const char *text, struct netaddr *ret);
/* A host of a policy that is an address: the same, or in brackets, or with a final dot. */
int netaddr_parse_host(const char *host, struct netaddr *ret);
/* RFC 5952 text, "-" for none; @size >= NETADDR_TEXT_MAX. Returns @out. */
const char *netaddr_format(const struct netaddr *a, char *out, size_t size);
/* ADDR/BITS, or a bare ADDR (32 or 128 bits); host bits may be set. 0 or -EINVAL. */
int netprefix_parse(const char *text, struct netprefix *ret);
bool netprefix_contains(const struct netprefix *p, const struct netaddr *a);
bool netprefix_overlaps(const struct netprefix *a, const struct netprefix *b);
bool netaddr_equal(const struct netaddr *a, const struct netaddr *b);

enum netaddr_class netaddr_classify(const struct netaddr *a);
/* A word for the class or range, for logs: "loopback", "private", "cloud metadata"… */
const char *netaddr_range_name(const struct netaddr *a);

/* 0 or -EAFNOSUPPORT; v4-mapped becomes IPv4. @ret_port in host order, may be NULL. */
int netaddr_from_sockaddr(
	const struct sockaddr *sa, socklen_t len, struct netaddr *ret, uint16_t *ret_port);
socklen_t netaddr_to_sockaddr(const struct netaddr *a, uint16_t port, struct sockaddr_storage *ret);
