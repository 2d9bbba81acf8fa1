/* SPDX-License-Identifier: BSD-2-Clause */
/* The race of connects; see the header. Used by dial.c only. */
#include "core/race.h"

#include <errno.h>
#include <glib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct entrant {
	struct list link; /* race->waiting or race->running */
	struct race *race;
	int order;
	struct conn_address address;
	void *tag;
	int fd; /* RUNNING */
	struct loop_fd watch;
	struct loop_timer timer; /* connect_ms */
};

struct race {
	struct loop *loop;
	int64_t connect_ms;
	const struct race_ops *ops;
	void *arg;
	struct list waiting; /* by order */
	struct list running;
	unsigned running_count, started;
	struct loop_timer pace; /* until the next may start */
	struct loop_call call;	/* starts the first; tells that all have failed */
};

/* ---- entrants ---- */

static void entrant_free(struct entrant *e)
{
	list_remove(&e->link);
	loop_fd_remove(&e->watch);
	loop_timer_done(&e->timer);
	if (e->fd >= 0) {
		close(e->fd);
		e->race->running_count--;
	}
	g_free(e);
}

static void give_up(struct list *entrants)
{
	list_for_each_safe(pos, entrants)
		entrant_free(list_entry(pos, struct entrant, link));
}

static void entrant_failed(struct entrant *e, int errno_value)
{
	struct race *r = e->race;
	void *tag = e->tag;

	entrant_free(e);
	/* The next one need not wait for its turn; and if there is none, it is lost. */
	loop_timer_stop(&r->pace);
	loop_call_queue(r->loop, &r->call);
	r->ops->failed(r->arg, tag, errno_value);
}

static void entrant_won(struct entrant *e)
{
	struct race *r = e->race;
	void *tag = e->tag;
	int fd = e->fd;

	loop_fd_remove(&e->watch);
	e->fd = -1;
	r->running_count--;
	entrant_free(e);
	give_up(&r->running);
	give_up(&r->waiting);
	loop_timer_stop(&r->pace);
	loop_call_cancel(&r->call);
	r->ops->won(r->arg, tag, fd);
}

/* Connecting to a port of ours that nobody listens on may end at ourselves, when the kernel
 * picks that very port for our end. */
static bool is_self(int fd)
{
	struct sockaddr_storage ours, theirs;
	socklen_t our_bytes = sizeof(ours), their_bytes = sizeof(theirs);

	memset(&ours, 0, sizeof(ours));
	memset(&theirs, 0, sizeof(theirs));
	return !getsockname(fd, (struct sockaddr *)&ours, &our_bytes) &&
	       !getpeername(fd, (struct sockaddr *)&theirs, &their_bytes) &&
	       our_bytes == their_bytes && !memcmp(&ours, &theirs, our_bytes);
}

static void on_ready(struct loop_fd *w, uint32_t events)
{
	struct entrant *e = container_of(w, struct entrant, watch);
	socklen_t bytes = sizeof(int);
	int error = 0;

	(void)events;
	if (getsockopt(e->fd, SOL_SOCKET, SO_ERROR, &error, &bytes) < 0)
		error = errno;
	if (!error && is_self(e->fd))
		error = ECONNREFUSED;
	if (error)
		entrant_failed(e, error);
	else
		entrant_won(e);
}

static void on_expired(struct loop_timer *t)
{
	entrant_failed(container_of(t, struct entrant, timer), ETIMEDOUT);
}

/* 0, or -errno and @e is as before. */
static int entrant_start(struct entrant *e)
{
	struct race *r = e->race;
	int fd = conn_address_connect(&e->address), error;

	if (fd < 0)
		return fd;
	error = loop_fd_add(r->loop, &e->watch, fd, EPOLLOUT, on_ready);
	if (error < 0) {
		close(fd);
		return error;
	}
	e->fd = fd;
	list_remove(&e->link);
	list_push_tail(&r->running, &e->link);
	r->running_count++;
	if (r->connect_ms)
		loop_timer_start(&e->timer, r->connect_ms);
	return 0;
}

/* ---- the race ---- */

static void start_next(struct race *r)
{
	struct entrant *e = list_entry(list_first(&r->waiting), struct entrant, link);
	bool is_early = r->started++ < RACE_STAGGERED;
	int error;

	loop_timer_start(&r->pace, is_early ? RACE_STAGGER_MS : RACE_STAGGER_LATER_MS);
	error = entrant_start(e);
	if (error < 0)
		entrant_failed(e, -error);
}

static void race_go_on(struct race *r)
{
	if (list_is_empty(&r->waiting)) {
		if (list_is_empty(&r->running))
			r->ops->lost(r->arg);
	} else if (r->running_count < RACE_RUNNING_MAX && !loop_timer_is_running(&r->pace)) {
		start_next(r);
	}
}

static void on_pace(struct loop_timer *t)
{
	struct race *r = container_of(t, struct race, pace);

	if (!list_is_empty(&r->waiting))
		race_go_on(r);
}

static void on_call(struct loop_call *call)
{
	race_go_on(container_of(call, struct race, call));
}

struct race *race_new(struct loop *l, int64_t connect_ms, const struct race_ops *ops, void *arg)
{
	struct race *r = g_new0(struct race, 1);

	r->loop = l;
	r->connect_ms = connect_ms;
	r->ops = ops;
	r->arg = arg;
	list_init(&r->waiting);
	list_init(&r->running);
	loop_timer_init(l, &r->pace, on_pace);
	loop_call_init(&r->call, on_call);
	return r;
}

void race_add(struct race *r, int order, const struct conn_address *a, void *tag)
{
	struct entrant *e = g_new0(struct entrant, 1);
	struct list *before = &r->waiting;

	e->race = r;
	e->order = order;
	e->address = *a;
	e->tag = tag;
	e->fd = -1;
	loop_timer_init(r->loop, &e->timer, on_expired);
	list_for_each(pos, &r->waiting) {
		if (list_entry(pos, struct entrant, link)->order > order) {
			before = pos;
			break;
		}
	}
	list_push_tail(before, &e->link); /* in front of @before */
	loop_call_queue(r->loop, &r->call);
}

void race_free(struct race *r)
{
	if (!r)
		return;
	give_up(&r->running);
	give_up(&r->waiting);
	loop_timer_done(&r->pace);
	loop_call_cancel(&r->call);
	g_free(r);
}
