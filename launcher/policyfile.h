/*
 * Policy files on their way to a supervisor: read, and validated before anything is changed.
 */
#pragma once

#include <stddef.h>

enum policyfile_use {
	POLICYFILE_TO_CHANGE, /* of a sandbox that runs */
	POLICYFILE_TO_START,  /* one: paths that the host lacks are named, for they will be skipped
			       */
};

/*
 * The text of @path ("-" is standard input) into @ret, which the caller frees. When it cannot be
 * read or does not validate, every problem is printed as "openshell: policy 'FILE': …" and -1 is
 * returned. Warnings are printed as well, and do no harm.
 */
int policyfile_load(const char *path, enum policyfile_use use, char **ret);
