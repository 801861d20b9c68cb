/* The hashing thread beside the loop: every file gets its own hash, also when there are many, and an end
 * in the middle loses nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/loop.h"
#include "tracer/filehash.h"

#define OF_NOTHING "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define OF_ABC	   "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

enum { MANY = 200 };

struct wanted {
	struct loop *loop;
	unsigned int *left; /* the last one stops the loop */
	const char *hex;
	int error;
	unsigned int n_heard;
};

static void on_done(void *arg, int error, const char *hex)
{
	struct wanted *w = arg;

	w->n_heard++;
	assert_int_equal(error, w->error);
	if (!error)
		assert_string_equal(hex, w->hex);
	if (--*w->left == 0)
		loop_stop(w->loop);
}

static int file_with(const char *text)
{
	int fd = memfd_create("file", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	return fd;
}

static void the_hash_is_sha256(void **state)
{
	char hex[FILEHASH_HEX + 1];

	(void)state;
	filehash_bytes("", 0, hex);
	assert_string_equal(hex, OF_NOTHING);
	filehash_bytes("abc", 3, hex);
	assert_string_equal(hex, OF_ABC);
}

static void each_of_many_gets_its_own(void **state)
{
	struct loop *loop = loop_new();
	struct filehash *f = filehash_new(loop);
	static struct wanted wanted[MANY];
	static char hex[MANY][FILEHASH_HEX + 1];
	unsigned int left = MANY;

	(void)state;
	for (unsigned int i = 0; i < MANY; i++) {
		char text[32];

		(void)snprintf(text, sizeof(text), "file %u", i);
		filehash_bytes(text, strlen(text), hex[i]);
		wanted[i] = (struct wanted){ .loop = loop, .left = &left, .hex = hex[i] };
		assert_int_equal(filehash_start(f, file_with(text), on_done, &wanted[i]), 0);
	}
	assert_int_equal(loop_run(loop), 0);
	for (unsigned int i = 0; i < MANY; i++)
		assert_int_equal(wanted[i].n_heard, 1);
	filehash_free(f);
	loop_free(loop);
}

static void what_cannot_be_read_is_an_error(void **state)
{
	struct loop *loop = loop_new();
	struct filehash *f = filehash_new(loop);
	unsigned int left = 1;
	struct wanted w = { .loop = loop, .left = &left, .error = -EISDIR };

	(void)state;
	assert_int_equal(filehash_start(f, open("/", O_RDONLY | O_CLOEXEC), on_done, &w), 0);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(w.n_heard, 1);
	filehash_free(f);
	loop_free(loop);
}

/* Nobody is called back, and the descriptors are closed. */
static void an_end_in_the_middle_loses_nothing(void **state)
{
	struct loop *loop = loop_new();
	unsigned int left = 1;
	struct wanted w = { .loop = loop, .left = &left };
	struct filehash *f = filehash_new(loop);
	int fds[MANY];

	(void)state;
	for (unsigned int i = 0; i < MANY; i++) {
		fds[i] = file_with("abc");
		assert_int_equal(filehash_start(f, fds[i], on_done, &w), 0);
	}
	filehash_free(f);
	assert_int_equal(w.n_heard, 0);
	for (unsigned int i = 0; i < MANY; i++)
		assert_int_equal(fcntl(fds[i], F_GETFD), -1);
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_hash_is_sha256),
		cmocka_unit_test(each_of_many_gets_its_own),
		cmocka_unit_test(what_cannot_be_read_is_an_error),
		cmocka_unit_test(an_end_in_the_middle_loses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
