/* Questions of the workload: an answer is bounded, echoes its question, and names round-trip. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "tracer/dns.h"
#include "tracer/names.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct names *names;
	uint8_t out[DNS_MESSAGE_MAX];
	size_t n;

	if (!names)
		names = names_new();
	n = dns_answer(names, "box", data, size, out);
	assert(n <= sizeof(out));
	if (!n)
		return 0;
	assert(n >= 12 && memcmp(out, data, 2) == 0 && (out[2] & 0x80));
	/* At least the root, a type and a class; they come back as they were asked. */
	if (out[5])
		assert(n >= 17 && memcmp(out + 12, data + 12, 5) == 0);
	return 0;
}
