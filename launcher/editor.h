/*
 * --editor: opens a sandbox in an editor that works over ssh (VS Code, Cursor).
 *
 * Such an editor reads ~/.ssh/config and nothing else, so the sandbox's block goes into a file of its
 * own below the settings directory, and one Include line at the head of ~/.ssh/config leads there;
 * the first time that is said. Blocks of sandboxes that are gone are removed with the next one.
 */
#pragma once

#include "lib/err.h"

/* 0, or -EINVAL with text for one that is not known. */
int editor_check(const char *editor, struct err *err);

/*
 * Opens @dir of sandbox @name, whose supervisor runs. Returns the status to exit with; what is wrong
 * is printed, with the command to type once the editor is there.
 */
int editor_open(const char *editor, const char *name, const char *dir);
