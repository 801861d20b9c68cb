/*
 * Runs a fuzz target without libFuzzer: once with each file that is named, in any build. What fuzzing has found
 * stays found (tests/e2e/seeds.t), and a target that no longer fits what it drives does not build.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A buffer of just that size: a sanitizer sees who reads on. */
static int replay(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t *data = NULL;
	struct stat st;
	int r = -1;

	if (fd >= 0 && fstat(fd, &st) == 0)
		data = malloc(st.st_size ? (size_t)st.st_size : 1);
	if (data && read(fd, data, (size_t)st.st_size) == st.st_size) {
		(void)LLVMFuzzerTestOneInput(data, (size_t)st.st_size);
		r = 0;
	} else {
		perror(path);
	}
	free(data);
	if (fd >= 0)
		(void)close(fd);
	return r;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	for (int i = 1; i < argc; i++)
		if (replay(argv[i]) < 0)
			return 1;
	return 0;
}
