/*
 * The certificates a sandbox trusts: what the host trusts, and its own CA besides. What programs add
 * to roots of their own (NODE_EXTRA_CA_CERTS) is that CA, and what --upstream-ca adds to the host's.
 *
 * The CA is the proxy's, and the proxy is started when it is first needed. Until then the files
 * are under a write lease (fcntl(2), F_SETLEASE): whoever opens one waits in open(2) while we are
 * told with SIGIO, start the proxy, add its certificate and let go. A program therefore never sees
 * a file without the CA. Where the file system has no leases the proxy is started at once.
 */
#pragma once

#include <stdbool.h>

#include "lib/err.h"

#define CAFILES_CA     "ca.pem"
#define CAFILES_BUNDLE "ca-bundle.pem"
#define CAFILES_JAVA   "ca-bundle.jks"

struct cafiles {
	int ca, bundle; /* -1: none, or filled */
	int java;	/* -1 too where the host has no Java */
	bool is_leased;
};

/* Makes the files, empty, in the runtime directory, to be mounted. 0 or -errno with text. */
int cafiles_make(struct cafiles *c, int runtime_dir, struct err *err);
/*
 * What is known without the proxy: the host's bundle and the roots in the file @extra
 * (--upstream-ca, NULL: none), which servers that are not inspected may show. Then the leases, if
 * they are to be had: @c->is_leased.
 */
int cafiles_prepare(struct cafiles *c, const char *extra, struct err *err);
/* Adds the sandbox's CA @pem to them, and lets those who wait go on. */
int cafiles_fill(struct cafiles *c, const char *pem, struct err *err);
/* Lets them go on without it. Twice is harmless. */
void cafiles_release(struct cafiles *c);
