/*
 * One endpoint merged into another: what would change, and the change. Private to
 * lib/policy_merge.c and lib/policy_diff.c.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/policy_doc.h"

/* The ports of an endpoint, whether written as `port` or as `ports`. */
size_t endpoint_ports(const struct doc_endpoint *e);
uint16_t endpoint_port(const struct doc_endpoint *e, size_t i);
bool endpoint_has_port(const struct doc_endpoint *e, uint16_t port);
/* Writes @n ports; false when out of memory. */
bool endpoint_set_ports(
	struct policy_doc *d, struct doc_endpoint *e, const uint16_t *ports, size_t n);

/* "" for an endpoint that serves every path. */
const char *endpoint_path(const struct doc_endpoint *e);
bool endpoint_same_host(const struct doc_endpoint *a, const struct doc_endpoint *b);
/* Same host and path: two declarations of one thing, perhaps on different ports. */
bool endpoint_same_selector(const struct doc_endpoint *a, const struct doc_endpoint *b);
/* They share a port. */
bool endpoint_shares_port(const struct doc_endpoint *a, const struct doc_endpoint *b);

/* A rule that says the same is among them. */
bool rules_have(const struct doc_endpoint *e, const struct doc_rule *rule);
bool deny_rules_have(const struct doc_endpoint *e, const struct doc_rule *rule);

/* Merging @from into @to would change @to. */
bool endpoint_would_change(const struct doc_endpoint *to, const struct doc_endpoint *from);
/* Whoever declares @from has asked for everything @to grants: fields it leaves out are retained. */
bool endpoint_declares(const struct doc_endpoint *from, const struct doc_endpoint *to);

/*
 * The rules an access preset stands for with this endpoint's protocol (openshell-upstream.md
 * section 2.4): count, or -1 when there is no such preset. @ret lives in static storage.
 */
int access_rules(const struct doc_endpoint *e, const struct doc_rule **ret);
/* Replaces the access preset by its rules: 0, -EINVAL for an unknown preset, -ENOMEM. */
int endpoint_expand_access(struct policy_doc *d, struct doc_endpoint *e);

/* Appends unless it is there: 0 or -ENOMEM. */
int endpoint_add_rule(struct policy_doc *d, struct doc_endpoint *e, const struct doc_rule *rule);
int endpoint_add_deny(struct policy_doc *d, struct doc_endpoint *e, const struct doc_rule *rule);

/* Told about a field of @from that was not taken. */
typedef void endpoint_retained_fn(
	void *arg, const char *field, const char *existing, const char *incoming);
/* Told when the access preset was replaced by its rules. */
typedef void endpoint_expanded_fn(void *arg, const char *access);

struct endpoint_merge {
	struct policy_doc *d;
	endpoint_retained_fn *on_retained;
	endpoint_expanded_fn *on_expanded;
	void *arg;
};

/* 0, -EINVAL for an access preset that cannot be expanded, -ENOMEM. */
int endpoint_merge(
	const struct endpoint_merge *m, struct doc_endpoint *to, const struct doc_endpoint *from);
