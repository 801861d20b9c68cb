#include "preload/preload.h"

#include <errno.h>

long preload_result(long r)
{
	if (r >= 0 || r < -4095)
		return r;
	errno = (int)-r;
	return -1;
}
