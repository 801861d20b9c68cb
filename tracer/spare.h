/*
 * The descriptor that is left when there is no other. A listener is level-triggered: a connection that cannot
 * be accepted for want of a descriptor would be reported again and again, and who made it would never hear why.
 * One is kept for that moment: the connection takes its place, is told, and closed.
 */
#pragma once

#include <stdbool.h>

/* Takes the spare one; once, before descriptors are scarce. 0 or -errno. */
int spare_keep(void);

/* accept4(2), without blocking: the connection or -errno. With *@ret_is_last it has the spare one's place: there is
 * time for a word, then spare_close(). */
int spare_accept(int listener, bool *ret_is_last);
void spare_close(int fd);
