#include "tracer/filehash.h"

#include <errno.h>
#include <nettle/sha2.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/str.h"
#include "tracer/thread.h"

enum { READ_CHUNK = 256 * 1024 };

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

static void to_hex(struct sha256_ctx *ctx, char *ret_hex)
{
	uint8_t digest[SHA256_DIGEST_SIZE];

	sha256_digest(ctx, sizeof(digest), digest);
	str_to_hex(digest, sizeof(digest), ret_hex);
}

void filehash_bytes(const void *data, size_t len, char *ret_hex)
{
	struct sha256_ctx ctx;

	sha256_init(&ctx);
	sha256_update(&ctx, len, data);
	to_hex(&ctx, ret_hex);
}

static int hash_fd(int fd, char *ret_hex)
{
	auto_free uint8_t *chunk = malloc(READ_CHUNK);
	struct sha256_ctx ctx;
	off_t at = 0;

	if (!chunk)
		return -ENOMEM;
	sha256_init(&ctx);
	for (;;) {
		ssize_t n = pread(fd, chunk, READ_CHUNK, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		sha256_update(&ctx, (size_t)n, chunk);
		at += n;
	}
	to_hex(&ctx, ret_hex);
	return 0;
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

static int worker_start(struct filehash *f)
{
	int r;

	if (f->is_running)
		return 0;
	r = thread_start(&f->thread, work, f);
	f->is_running = r == 0;
	return r;
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
