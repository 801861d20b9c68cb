/* The text of /proc/PID/stat and status, whose name field a process chooses. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tracer/procfs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), state;
	uint64_t ticks;
	pid_t pid;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	(void)procfs_stat_ppid(text, &pid);
	(void)procfs_stat_run(text, &state, &ticks);
	(void)procfs_status_number(text, "Tgid", &pid);
	(void)procfs_status_number(text, "NStgid", &pid);
	(void)procfs_status_has_signal(text);
	free(text);
	return 0;
}
