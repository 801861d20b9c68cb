/*
 * Whether a route's server answers, before sandboxes depend on it: one GET for its list of models, which costs
 * nothing, from the host. curl does it; what it has to know goes to its standard input, for its arguments are
 * everybody's to read.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/config.h"
#include "launcher/inference.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/placeholder.h"
#include "lib/str.h"

enum { CONFIG_MAX = 60 * 1024, VERIFY_S = 20, CURL_BAD_CERTIFICATE = 60 };

struct answer {
	int exit; /* of curl */
	unsigned int status;
	char said[256];
};

/* --- what curl is told --- */

static int put(struct buf *out, const char *key, const char *value)
{
	int r = buf_printf(out, "%s = \"", key);

	for (; *value && r == 0; value++) {
		if (*value == '"' || *value == '\\')
			r = buf_putc(out, '\\');
		r = r == 0 ? buf_putc(out, *value) : r;
	}
	return r == 0 ? buf_puts(out, "\"\n") : r;
}

static int put_url(struct buf *out, const struct inference_route *r)
{
	static const char models[] = "/v1/models";
	auto_buf struct buf url = { 0 };
	int e;

	buf_init(&url, 2 * INFERENCE_BASE_MAX + 512);
	e = buf_printf(&url, r->server.is_ipv6 ? "%s://[%s]:%u" : "%s://%s:%u", r->is_tls ? "https" : "http",
		r->server.host, r->server.port);
	if (e == 0)
		e = inference_path(&url, inference_type(r->type)->style, r->base, r->model, models,
			strlen(models));
	return e == 0 && buf_cstr(&url) ? put(out, "url", buf_cstr(&url)) : -ENOMEM;
}

static int put_secret(struct buf *out, const struct inference_route *r)
{
	struct buf line;
	int e;

	buf_init(&line, INFERENCE_SECRET_MAX + 64);
	if (!buf_reserve(&line, INFERENCE_SECRET_MAX + 64))
		return -ENOMEM;
	e = inference_credential_put(&line, r);
	e = e == 0 && buf_cstr(&line) ? put(out, "header", buf_cstr(&line)) : -ENOMEM;
	placeholder_wipe(&line);
	if (e == 0 && inference_type(r->type)->style == INFERENCE_ANTHROPIC)
		e = put(out, "header", "anthropic-version: " INFERENCE_ANTHROPIC_VERSION);
	return e;
}

/* As sandboxes will go there. */
static int put_way(struct buf *out, const struct inference_route *r, const struct config *c, bool has_ca)
{
	char pin[URL_HOST_MAX + 64];
	int e = 0;

	for (char **p = c->connect_to; p && *p && e == 0; p++)
		e = put(out, "connect-to", *p);
	(void)snprintf(pin, sizeof(pin), "host.openshell.internal:%u:127.0.0.1:%u", r->server.port, r->server.port);
	if (e == 0)
		e = put(out, "connect-to", pin);
	if (e == 0 && c->upstream_proxy && !inference_is_local(r))
		e = put(out, "proxy", c->upstream_proxy);
	if (e == 0 && c->no_proxy)
		e = put(out, "noproxy", c->no_proxy);
	return e == 0 && has_ca ? put(out, "cacert", c->upstream_ca) : e;
}

static int put_all(struct buf *out, const struct inference_route *r, const struct config *c, bool has_ca)
{
	int e = put_url(out, r);

	if (e == 0)
		e = put_secret(out, r);
	if (e == 0)
		e = put_way(out, r, c, has_ca);
	if (e == 0)
		e = buf_printf(out, "silent\nshow-error\nproto = \"=http,https\"\nmax-time = %d\noutput = \"/dev/null\"\n"
				    "write-out = \"%%{http_code}\"\n",
			VERIFY_S);
	return e;
}

/* --- running it --- */

static int spawn(int in, int out, int said, pid_t *ret)
{
	char *const argv[] = { "curl", "-q", "-K", "-", NULL };
	posix_spawn_file_actions_t fa;
	int r = posix_spawn_file_actions_init(&fa);

	if (r != 0)
		return -r;
	(void)posix_spawn_file_actions_adddup2(&fa, in, 0);
	(void)posix_spawn_file_actions_adddup2(&fa, out, 1);
	(void)posix_spawn_file_actions_adddup2(&fa, said, 2);
	r = posix_spawnp(ret, argv[0], &fa, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&fa);
	return -r;
}

static void read_line(int fd, char *ret, size_t size)
{
	ssize_t n = pread(fd, ret, size - 1, 0);

	ret[n > 0 ? n : 0] = '\0';
	ret[strcspn(ret, "\r\n")] = '\0';
}

static int run(const struct buf *config, struct answer *ret)
{
	auto_close int out = memfd_create("curl", MFD_CLOEXEC), said = memfd_create("curl", MFD_CLOEXEC);
	auto_close int in = -1, to = -1;
	int pipe_fds[2], status, r;
	char code[16];
	pid_t pid;

	if (out < 0 || said < 0 || pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	in = pipe_fds[0];
	to = pipe_fds[1];
	/* A pipe holds all of it, and nobody reads before it is there. */
	if (write(to, buf_head(config), config->len) != (ssize_t)config->len)
		return -EIO;
	(void)close(take_fd(to));
	r = spawn(in, out, said, &pid);
	if (r < 0)
		return r;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	ret->exit = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	read_line(out, code, sizeof(code));
	ret->status = (unsigned int)strtoul(code, NULL, 10);
	read_line(said, ret->said, sizeof(ret->said));
	return 0;
}

static int ask(const struct inference_route *r, const struct config *c, bool has_ca, struct answer *ret)
{
	struct buf config;
	int e;

	buf_init(&config, CONFIG_MAX);
	e = buf_reserve(&config, CONFIG_MAX) ? put_all(&config, r, c, has_ca) : -ENOMEM;
	if (e == 0)
		e = run(&config, ret);
	placeholder_wipe(&config);
	return e;
}

static int judge(const struct inference_route *r, const struct answer *a, struct err *err)
{
	if (a->exit != 0)
		(void)err_set(err, -EIO, "the server of provider '%s' could not be asked: %s", r->provider,
			a->said[0] ? a->said : "curl failed");
	else if (a->status == 401 || a->status == 403)
		(void)err_set(err, -EACCES, "the server of provider '%s' refuses the credential (%u)", r->provider,
			a->status);
	else if (a->status / 100 != 2)
		(void)err_set(err, -EIO, "the server of provider '%s' answered %u when it was asked for its models",
			r->provider, a->status);
	else
		return 0;
	return err_hint(err, -EIO, "openshell provider get %s; --no-verify sets it all the same", r->provider);
}

int inference_verify(const struct inference_route *r, struct err *err)
{
	auto_config struct config c = { 0 };
	struct answer a = { 0 };
	int e;

	if (inference_type(r->type)->style == INFERENCE_BEDROCK)
		return err_set(err, -ENOTSUP, "Bedrock has no request that costs nothing: --no-verify is needed");
	e = config_complete(&c, err);
	if (e < 0)
		return e;
	e = ask(r, &c, false, &a);
	/* curl takes more roots only in place of the system's. */
	if (e == 0 && a.exit == CURL_BAD_CERTIFICATE && c.upstream_ca)
		e = ask(r, &c, true, &a);
	if (e == -ENOENT) {
		(void)err_set(err, e, "there is no curl to ask the server of provider '%s' with", r->provider);
		return err_hint(err, e, "install curl, or set it with --no-verify");
	}
	return e < 0 ? err_set(err, e, "curl: %s", err_name(e)) : judge(r, &a, err);
}
