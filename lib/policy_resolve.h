/*
 * Programs that a policy names by a symbolic link.
 *
 * A process is known by the real path of its executable, people write /usr/bin/python3. As upstream
 * does, the target of a link is added as a second entry when the policy is taken into use; patterns
 * are left as they are. This looks at the file system, which the rest of the policy code never
 * does.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * @text (a policy that policy_load() accepts) with the targets added, into @ret, which the caller
 * frees; a plain copy when there is nothing to add. What lies in a directory that a sandbox has for
 * itself is not looked at here: links there are not those of the sandbox. 0, -EINVAL, -ENOMEM.
 */
int policy_resolve_binaries(const char *text, size_t len, char **ret);

/* Below a directory that a sandbox has for itself, whatever the host has there. */
bool policy_path_is_private(const char *path);
