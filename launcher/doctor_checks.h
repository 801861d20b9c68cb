/*
 * What the checks of doctor share among themselves.
 */
#pragma once

#include <stddef.h>

#include "launcher/doctor.h"

/* Text into one of the fields of a check; cut to its size. */
void doctor_set(char *at, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#define FOUND(c, ...)  doctor_set((c)->found, sizeof((c)->found), __VA_ARGS__)
#define COST(c, ...)   doctor_set((c)->cost, sizeof((c)->cost), __VA_ARGS__)
#define REMEDY(c, ...) doctor_set((c)->remedy, sizeof((c)->remedy), __VA_ARGS__)

/* A sysctl's number, or -1 when this kernel has none. */
long doctor_sysctl(const char *path);
/* Runs @fn in a child, for what cannot be undone. Its result, 0 to 127, or -1 when it died. */
int doctor_in_child(int (*fn)(void));

/* doctor_intercept.c */
void doctor_check_seccomp(struct doctor_check *c);
/* What this kernel has not, and newer ones have. */
void doctor_check_features(struct doctor_check *c);
void doctor_check_ptrace(struct doctor_check *c);
/* Which of them `--intercept auto` takes. */
void doctor_check_interception(struct doctor_check *c);
