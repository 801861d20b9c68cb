/*
 * OpenSSL as this process needs it: no configuration files, the kernel as its random source, and a few buffers
 * for records that stay with it.
 */
#pragma once

/* Once, before anything else of OpenSSL's is called: its allocator is chosen here. */
void crypto_init(void);
