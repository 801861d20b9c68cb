/* connect(): what begins most connections; and getpeername(), which must not tell where they really
 * lead. */
#include <sys/socket.h>
#include <sys/syscall.h>

#include "preload/coop.h"
#include "preload/preload.h"
#include "preload/stack.h"

PRELOAD_EXPORT int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	if (coop_covers(fd) && addr)
		return (int)preload_result(coop_connect(fd, addr, len));
	return (int)preload_result(stack_call(SYS_connect, fd, (long)addr, len));
}

PRELOAD_EXPORT int getpeername(int fd, struct sockaddr *addr, socklen_t *len)
{
	if (coop_covers(fd) && addr && len)
		return (int)preload_result(coop_getpeername(fd, addr, len));
	return (int)preload_result(
		stack_plain_call(SYS_getpeername, fd, (long)addr, (long)len, 0, 0, 0));
}
