#include "tracer/filehash.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#include "lib/cleanup.h"

enum { DIGEST_LEN = 32, READ_CHUNK = 256 * 1024 };

struct job {
	int fd;
	filehash_fn *done;
	void *arg;
	int error;
	char hex[FILEHASH_HEX + 1];
	STAILQ_ENTRY(job) link;
};

STAILQ_HEAD(jobs, job);

struct filehash {
	struct loop *loop;
	struct watch watch; /* the eventfd that says: look at finished */
	pthread_t thread;
	bool is_running;
	pthread_mutex_t lock; /* over everything below */
	pthread_cond_t wake;
	bool is_ending;
	struct jobs todo, finished;
};

/* libcrypto's one-shot interface to a digest, by name: EVP_MD_CTX and EVP_MD stay opaque. */
struct crypto {
	void *(*ctx_new)(void);
	void (*ctx_free)(void *ctx);
	const void *(*sha256)(void);
	int (*init)(void *ctx, const void *md, void *engine);
	int (*update)(void *ctx, const void *data, size_t len);
	int (*final)(void *ctx, unsigned char *out, unsigned int *len);
	bool is_loaded;
};

static struct crypto crypto;
static pthread_once_t crypto_once = PTHREAD_ONCE_INIT;

static void crypto_load(void)
{
	static const char *const names[] = { "libcrypto.so.3", "libcrypto.so.1.1", "libcrypto.so" };
	void *lib = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(names) && !lib; i++)
		lib = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
	if (!lib)
		return;
	*(void **)&crypto.ctx_new = dlsym(lib, "EVP_MD_CTX_new");
	*(void **)&crypto.ctx_free = dlsym(lib, "EVP_MD_CTX_free");
	*(void **)&crypto.sha256 = dlsym(lib, "EVP_sha256");
	*(void **)&crypto.init = dlsym(lib, "EVP_DigestInit_ex");
	*(void **)&crypto.update = dlsym(lib, "EVP_DigestUpdate");
	*(void **)&crypto.final = dlsym(lib, "EVP_DigestFinal_ex");
	crypto.is_loaded = crypto.ctx_new && crypto.ctx_free && crypto.sha256 && crypto.init &&
			   crypto.update && crypto.final;
}

static void *digest_begin(void)
{
	void *ctx;

	(void)pthread_once(&crypto_once, crypto_load);
	if (!crypto.is_loaded)
		return NULL;
	ctx = crypto.ctx_new();
	if (ctx && crypto.init(ctx, crypto.sha256(), NULL) != 1) {
		crypto.ctx_free(ctx);
		return NULL;
	}
	return ctx;
}

static int digest_end(void *ctx, char *ret_hex)
{
	unsigned char digest[DIGEST_LEN];
	unsigned int len = 0;
	int ok = crypto.final(ctx, digest, &len);

	crypto.ctx_free(ctx);
	if (ok != 1 || len != DIGEST_LEN)
		return -EIO;
	for (unsigned int i = 0; i < DIGEST_LEN; i++)
		(void)snprintf(ret_hex + 2 * (size_t)i, 3, "%02x", digest[i]);
	return 0;
}

int filehash_bytes(const void *data, size_t len, char *ret_hex)
{
	void *ctx = digest_begin();

	if (!ctx)
		return -ENOSYS;
	if (crypto.update(ctx, data, len) != 1) {
		crypto.ctx_free(ctx);
		return -EIO;
	}
	return digest_end(ctx, ret_hex);
}

static int hash_fd(int fd, char *ret_hex)
{
	auto_free char *chunk = malloc(READ_CHUNK);
	void *ctx = chunk ? digest_begin() : NULL;
	off_t at = 0;

	if (!ctx)
		return chunk ? -ENOSYS : -ENOMEM;
	for (;;) {
		ssize_t n = pread(fd, chunk, READ_CHUNK, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || (n > 0 && crypto.update(ctx, chunk, (size_t)n) != 1)) {
			int r = n < 0 ? -errno : -EIO;

			crypto.ctx_free(ctx);
			return r;
		}
		if (n == 0)
			return digest_end(ctx, ret_hex);
		at += n;
	}
}

static struct job *next_job(struct filehash *f)
{
	struct job *j = NULL;

	(void)pthread_mutex_lock(&f->lock);
	while (!f->is_ending && !(j = STAILQ_FIRST(&f->todo)))
		(void)pthread_cond_wait(&f->wake, &f->lock);
	if (f->is_ending)
		j = NULL;
	if (j)
		STAILQ_REMOVE_HEAD(&f->todo, link);
	(void)pthread_mutex_unlock(&f->lock);
	return j;
}

static void *work(void *arg)
{
	struct filehash *f = arg;
	struct job *j;

	while ((j = next_job(f))) {
		const uint64_t one = 1;

		j->error = hash_fd(j->fd, j->hex);
		(void)pthread_mutex_lock(&f->lock);
		STAILQ_INSERT_TAIL(&f->finished, j, link);
		(void)pthread_mutex_unlock(&f->lock);
		(void)!write(f->watch.fd, &one, sizeof(one));
	}
	return NULL;
}

static void job_free(struct job *j)
{
	(void)close(j->fd);
	free(j);
}

static void on_finished(struct loop *loop, struct watch *w, uint32_t events)
{
	struct filehash *f = container_of(w, struct filehash, watch);
	struct jobs done = STAILQ_HEAD_INITIALIZER(done);
	uint64_t count;

	(void)loop;
	(void)events;
	(void)!read(w->fd, &count, sizeof(count));
	(void)pthread_mutex_lock(&f->lock);
	STAILQ_CONCAT(&done, &f->finished);
	(void)pthread_mutex_unlock(&f->lock);
	for (struct job *j; (j = STAILQ_FIRST(&done));) {
		STAILQ_REMOVE_HEAD(&done, link);
		j->done(j->arg, j->error, j->hex);
		job_free(j);
	}
}

struct filehash *filehash_new(struct loop *loop)
{
	struct filehash *f = calloc(1, sizeof(*f));
	int fd;

	if (!f)
		return NULL;
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0) {
		free(f);
		return NULL;
	}
	f->loop = loop;
	STAILQ_INIT(&f->todo);
	STAILQ_INIT(&f->finished);
	(void)pthread_mutex_init(&f->lock, NULL);
	(void)pthread_cond_init(&f->wake, NULL);
	watch_init(&f->watch, fd, on_finished, NULL);
	if (watch_set(loop, &f->watch, EPOLLIN) < 0) {
		filehash_free(f);
		return NULL;
	}
	return f;
}

static void jobs_free(struct jobs *jobs)
{
	for (struct job *j; (j = STAILQ_FIRST(jobs));) {
		STAILQ_REMOVE_HEAD(jobs, link);
		job_free(j);
	}
}

void filehash_free(struct filehash *f)
{
	if (!f)
		return;
	if (f->is_running) {
		(void)pthread_mutex_lock(&f->lock);
		f->is_ending = true;
		(void)pthread_cond_signal(&f->wake);
		(void)pthread_mutex_unlock(&f->lock);
		(void)pthread_join(f->thread, NULL);
	}
	jobs_free(&f->todo);
	jobs_free(&f->finished);
	(void)watch_set(f->loop, &f->watch, 0);
	(void)close(f->watch.fd);
	(void)pthread_cond_destroy(&f->wake);
	(void)pthread_mutex_destroy(&f->lock);
	free(f);
}

/* The worker takes no signals: they belong to the loop. */
static int worker_start(struct filehash *f)
{
	sigset_t all, old;
	int r;

	if (f->is_running)
		return 0;
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&f->thread, NULL, work, f);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	f->is_running = r == 0;
	return -r;
}

int filehash_start(struct filehash *f, int fd, filehash_fn *done, void *arg)
{
	struct job *j = calloc(1, sizeof(*j));
	int r = j ? worker_start(f) : -ENOMEM;

	if (r < 0) {
		(void)close(fd);
		free(j);
		return r;
	}
	*j = (struct job){ .fd = fd, .done = done, .arg = arg };
	(void)pthread_mutex_lock(&f->lock);
	STAILQ_INSERT_TAIL(&f->todo, j, link);
	(void)pthread_cond_signal(&f->wake);
	(void)pthread_mutex_unlock(&f->lock);
	return 0;
}
