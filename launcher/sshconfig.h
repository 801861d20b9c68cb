/*
 * What ssh has to know to reach a sandbox: its key pair, and the block for ssh_config(5).
 */
#pragma once

#include <stddef.h>
#include <stdio.h>

#include "lib/err.h"

enum { SSHCONFIG_PATH_MAX = 4096 };

/* The path of the sandbox's private key, made when it is first asked for; two at once wait for each
 * other. 0, or -errno with text. */
int sshconfig_key(const char *name, char *ret, size_t size, struct err *err);

/* Writes the block of `Host openshell-NAME`. 0, or -errno with text. */
int sshconfig_write(FILE *f, const char *name, struct err *err);
