/* connect(): what begins most connections. */
#include <sys/socket.h>
#include <sys/syscall.h>

#include "preload/preload.h"
#include "preload/stack.h"

PRELOAD_EXPORT int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	return (int)preload_result(stack_call(SYS_connect, fd, (long)addr, len));
}
