/* SPDX-License-Identifier: BSD-2-Clause */
/* Helper threads; worker.h is the manual. A job is on waiting, then on none while a thread runs
 * it, then on finished until the loop thread, woken by the eventfd, calls done(). The mutex
 * guards both lists, running[] and is_stopping; nothing else is shared. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "base/worker.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/loop.h"

/* Enough for the name service modules; the default of 8 MiB would all be locked by mlockall. */
#define STACK_BYTES (1024 * 1024)

struct worker {
	struct loop_fd wakeup;
	int event_fd;
	bool is_delivering; /* loop thread only */

	pthread_mutex_t lock;
	pthread_cond_t has_work;
	struct list waiting, finished;
	bool is_stopping;

	unsigned thread_count;
	pthread_t *threads;
	const struct worker_job **running; /* by thread; NULL: none */
};

struct thread_arg {
	struct worker *w;
	unsigned index;
};

/* ---- in the helper threads ---- */

static bool is_order_running(const struct worker *w, const void *order)
{
	if (!order)
		return false;
	for (unsigned i = 0; i < w->thread_count; i++)
		if (w->running[i] && w->running[i]->order == order)
			return true;
	return false;
}

/* The first job that may run now, taken off the list; NULL when there is none. */
static struct worker_job *take_job(struct worker *w)
{
	list_for_each_safe (node, &w->waiting) {
		struct worker_job *job = list_entry(node, struct worker_job, link);

		if (is_order_running(w, job->order))
			continue;
		list_remove(node);
		return job;
	}
	return NULL;
}

static void wake_loop(struct worker *w)
{
	uint64_t one = 1;

	/* Fails only when 2^64 - 2 wake-ups are pending: then it is awake anyhow. */
	if (write(w->event_fd, &one, sizeof(one)) < 0)
		return;
}

static void *thread_main(void *data)
{
	struct thread_arg arg = *(struct thread_arg *)data;
	struct worker *w = arg.w;
	struct worker_job *job;

	free(data);
	pthread_mutex_lock(&w->lock);
	while (!w->is_stopping) {
		job = take_job(w);
		if (!job) {
			pthread_cond_wait(&w->has_work, &w->lock);
			continue;
		}
		w->running[arg.index] = job;
		pthread_mutex_unlock(&w->lock);
		job->run(job);
		pthread_mutex_lock(&w->lock);
		w->running[arg.index] = NULL;
		list_push_tail(&w->finished, &job->link);
		wake_loop(w);
		/* One of the same order may wait for this one: this thread looks next. */
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

/* ---- in the loop thread ---- */

/* The first job of @from, which the threads may be filling. */
static struct worker_job *pop_job(struct worker *w, struct list *from)
{
	struct list *node;

	pthread_mutex_lock(&w->lock);
	node = list_pop(from);
	pthread_mutex_unlock(&w->lock);
	return node ? list_entry(node, struct worker_job, link) : NULL;
}

static void deliver(struct worker *w, struct list *from)
{
	struct worker_job *job;

	assert(!w->is_delivering);
	w->is_delivering = true;
	while ((job = pop_job(w, from)))
		job->done(job);
	w->is_delivering = false;
}

static void worker_ready(struct loop_fd *fd, uint32_t events)
{
	struct worker *w = container_of(fd, struct worker, wakeup);
	uint64_t count;

	(void)events;
	if (read(w->event_fd, &count, sizeof(count)) < 0)
		return;
	deliver(w, &w->finished);
}

static int start_thread(struct worker *w, const pthread_attr_t *attr)
{
	struct thread_arg *arg = malloc(sizeof(*arg));
	int r;

	if (!arg)
		return -ENOMEM;
	*arg = (struct thread_arg){ w, w->thread_count };
	r = pthread_create(&w->threads[w->thread_count], attr, thread_main, arg);
	if (r) {
		free(arg);
		return -r;
	}
	return 0;
}

static int start_threads(struct worker *w, unsigned threads)
{
	sigset_t all, saved;
	pthread_attr_t attr;
	int r = 0;

	r = -pthread_attr_init(&attr);
	if (r < 0)
		return r;
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &saved);
	/* thread_count is what take_job() walks: under the lock */
	pthread_mutex_lock(&w->lock);
	while (w->thread_count < threads && (r = start_thread(w, &attr)) == 0)
		w->thread_count++;
	pthread_mutex_unlock(&w->lock);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	pthread_attr_destroy(&attr);
	return r;
}

static void stop_threads(struct worker *w)
{
	pthread_mutex_lock(&w->lock);
	w->is_stopping = true;
	pthread_cond_broadcast(&w->has_work);
	pthread_mutex_unlock(&w->lock);
	for (unsigned i = 0; i < w->thread_count; i++)
		pthread_join(w->threads[i], NULL);
}

static void worker_destroy(struct worker *w)
{
	loop_fd_remove(&w->wakeup);
	if (w->event_fd >= 0)
		close(w->event_fd);
	pthread_cond_destroy(&w->has_work);
	pthread_mutex_destroy(&w->lock);
	free(w->threads);
	free(w->running);
	free(w);
}

static int worker_start(struct worker *w, struct loop *l, unsigned threads)
{
	int r;

	w->threads = calloc(threads, sizeof(*w->threads));
	w->running = calloc(threads, sizeof(*w->running));
	if (!w->threads || !w->running)
		return -ENOMEM;
	w->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (w->event_fd < 0)
		return -errno;
	r = loop_fd_add(l, &w->wakeup, w->event_fd, EPOLLIN, worker_ready);
	if (r < 0)
		return r;
	return start_threads(w, threads);
}

struct worker *worker_new(struct loop *l, unsigned threads)
{
	struct worker *w = calloc(1, sizeof(*w));
	int r;

	assert(threads);
	if (!w)
		return NULL;
	w->event_fd = -1;
	list_init(&w->waiting);
	list_init(&w->finished);
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->has_work, NULL);
	r = worker_start(w, l, threads);
	if (r < 0) {
		stop_threads(w);
		worker_destroy(w);
		errno = -r;
		return NULL;
	}
	return w;
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	stop_threads(w);
	deliver(w, &w->finished);
	deliver(w, &w->waiting);
	worker_destroy(w);
}

void worker_submit(struct worker *w, struct worker_job *job)
{
	pthread_mutex_lock(&w->lock);
	list_push_tail(&w->waiting, &job->link);
	pthread_cond_signal(&w->has_work);
	pthread_mutex_unlock(&w->lock);
}
