#include "lib/aws.h"

#include <string.h>

#include "lib/cleanup.h"
#include "lib/str.h"

/* In the order of their modes, from AWS_SIGN_AUTO on. */
const char *const aws_signing_words[] = { "sigv4", "sigv4:body", "sigv4:no_body", NULL };

enum aws_signing aws_signing_parse(const char *word)
{
	for (size_t i = 0; word && aws_signing_words[i]; i++)
		if (strcmp(word, aws_signing_words[i]) == 0)
			return (enum aws_signing)(AWS_SIGN_AUTO + i);
	return AWS_SIGN_NOTHING;
}

bool aws_is_word(const char *s)
{
	size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");

	return n && n <= AWS_WORD_MAX && !s[n];
}

/* us-east-1, us-gov-west-1, cn-north-1: services have no hyphen before a digit. */
static bool is_region(const char *s, size_t len)
{
	for (size_t i = 0; i + 1 < len; i++)
		if (s[i] == '-' && s[i + 1] >= '0' && s[i + 1] <= '9')
			return true;
	return false;
}

bool aws_region(const char *host, char ret[static AWS_WORD_MAX + 1])
{
	static const char *const ends[] = { ".amazonaws.com", ".amazonaws.com.cn", ".api.aws" };
	static const char dualstack[] = ".dualstack";
	size_t len = strlen(host), at;

	ret[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		if (str_ends(host, ends[i])) {
			len -= strlen(ends[i]);
			break;
		}
	if (!host[len])
		return false;
	while (len >= sizeof(dualstack) - 1 &&
		memcmp(host + len - (sizeof(dualstack) - 1), dualstack, sizeof(dualstack) - 1) == 0)
		len -= sizeof(dualstack) - 1;
	for (at = len; at > 0 && host[at - 1] != '.';)
		at--;
	/* The first label is the service. */
	if (!at || len - at > AWS_WORD_MAX || !is_region(host + at, len - at))
		return false;
	memcpy(ret, host + at, len - at);
	ret[len - at] = '\0';
	return aws_is_word(ret);
}
