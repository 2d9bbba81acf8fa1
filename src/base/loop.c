/* SPDX-License-Identifier: BSD-2-Clause */
/* The reactor; loop.h is the manual. What must hold between callbacks:
 *
 *   - heap[0 .. heap_count) is a binary min-heap by due_us; heap[t->heap_index] == t for every
 *     running timer; heap_size >= timers initialised, so that starting one needs no memory.
 *   - events[event_next .. event_count) are those of this turn not yet delivered; the pointer
 *     of an entry is NULL when its watch was removed.
 *   - a call is on at most one of the lists calls and flushes. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "base/loop.h"

#include <assert.h>
#include <errno.h>
#include <glib.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_PER_TURN 64
/* Deferred calls (and flush hooks) of one turn: what is beyond waits for the next one, so that
 * calls that queue each other cannot keep the loop from its descriptors. */
#define CALLS_PER_TURN 4096
#define CALL_ROUNDS 8
#define SPIN_MIN_US 10

struct loop {
	int epoll_fd;
	bool is_stopped, is_in_turn, is_expiring;
	bool has_no_pwait2;
	int64_t now_us;
	uint64_t turns;
	int64_t spin_us, spin_max_us; /* how long to look for events before sleeping */
	unsigned watches;

	struct epoll_event events[EVENTS_PER_TURN];
	int event_next, event_count;

	struct loop_timer **heap;
	unsigned heap_count, heap_size, timers;

	struct list calls, flushes, reaps;
};

static int64_t clock_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

struct loop *loop_new(void)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll_fd < 0) {
		free(l);
		return NULL;
	}
	list_init(&l->calls);
	list_init(&l->flushes);
	list_init(&l->reaps);
	l->now_us = clock_us();
	return l;
}

static void run_reaps(struct loop *l)
{
	struct list *node;

	while ((node = list_pop(&l->reaps))) {
		struct loop_reap *r = list_entry(node, struct loop_reap, link);

		r->free(r);
	}
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	assert(!l->is_in_turn);
	run_reaps(l);
	while (list_pop(&l->calls))
		;
	while (list_pop(&l->flushes))
		;
	assert(!l->watches && !l->timers);
	close(l->epoll_fd);
	g_free(l->heap);
	free(l);
}

/* ---- one turn ---- */

/* How long epoll may sleep, in microseconds; -1: no limit. */
static int64_t sleep_us(const struct loop *l, int timeout_ms)
{
	int64_t us = timeout_ms < 0 ? -1 : (int64_t)timeout_ms * 1000;

	if (!list_is_empty(&l->calls) || !list_is_empty(&l->flushes) ||
	    !list_is_empty(&l->reaps))
		return 0;
	if (l->heap_count) {
		int64_t wait_us = l->heap[0]->due_us - clock_us();

		if (wait_us < 0)
			wait_us = 0;
		if (us < 0 || wait_us < us)
			us = wait_us;
	}
	return us;
}

/* Like epoll_wait(), in microseconds where the kernel can, else rounded up, so that a timer
 * is never waited for in many short sleeps. */
static int wait_events(struct loop *l, int64_t us)
{
	int64_t ms = us < 0 ? -1 : (us + 999) / 1000;

#ifdef HAVE_EPOLL_PWAIT2
	if (us > 0 && !l->has_no_pwait2) {
		struct timespec ts = { us / 1000000, us % 1000000 * 1000 };
		int n = epoll_pwait2(l->epoll_fd, l->events, EVENTS_PER_TURN, &ts, NULL);

		/* Sandboxes answer EPERM for system calls they do not know. */
		if (n >= 0 || (errno != ENOSYS && errno != EPERM))
			return n;
		l->has_no_pwait2 = true;
	}
#endif
	return epoll_wait(l->epoll_fd, l->events, EVENTS_PER_TURN,
			  ms > INT_MAX ? INT_MAX : (int)ms);
}

/* Number of events, 0 when none came in time, or -1. */
static int spin_for_events(struct loop *l, int64_t limit_us)
{
	int64_t until = clock_us() + MIN(MIN(l->spin_us, l->spin_max_us), limit_us);
	int n = 0;

	while (n == 0 && clock_us() < until)
		n = epoll_wait(l->epoll_fd, l->events, EVENTS_PER_TURN, 0);
	return n;
}

static void adapt_spin(struct loop *l, int64_t slept_us)
{
	if (slept_us > l->spin_max_us)
		l->spin_us = 0;
	else
		l->spin_us = MIN(MAX(l->spin_us * 2, SPIN_MIN_US), l->spin_max_us);
}

static int spin_or_wait(struct loop *l, int64_t us)
{
	int64_t start;
	int n;

	if (us == 0 || !l->spin_max_us)
		return wait_events(l, us);
	if (l->spin_us) {
		n = spin_for_events(l, us < 0 ? INT64_MAX : us);
		if (n)
			return n;
	}
	start = clock_us();
	n = wait_events(l, us);
	adapt_spin(l, clock_us() - start);
	return n;
}

static void run_events(struct loop *l)
{
	while (l->event_next < l->event_count) {
		const struct epoll_event *e = &l->events[l->event_next++];
		struct loop_fd *w = e->data.ptr;
		uint32_t events;

		if (!w)
			continue;
		events = e->events & (w->events | EPOLLERR | EPOLLHUP);
		if (events)
			w->ready(w, events);
	}
	l->event_next = l->event_count = 0;
}

static void run_timers(struct loop *l)
{
	l->is_expiring = true;
	while (l->heap_count && l->heap[0]->due_us <= l->now_us) {
		struct loop_timer *t = l->heap[0];

		loop_timer_stop(t);
		t->expired(t);
	}
	l->is_expiring = false;
}

static void run_calls(struct list *calls)
{
	struct list *node;

	for (unsigned i = 0; i < CALLS_PER_TURN && (node = list_pop(calls)); i++) {
		struct loop_call *c = list_entry(node, struct loop_call, link);

		c->run(c);
	}
}

static bool loop_has_calls(const struct loop *l)
{
	return !list_is_empty(&l->calls) || !list_is_empty(&l->flushes);
}

int loop_run_once(struct loop *l, int timeout_ms)
{
	int n;

	assert(!l->is_in_turn);
	n = spin_or_wait(l, sleep_us(l, timeout_ms));
	if (n < 0 && errno != EINTR)
		return -errno;
	l->is_in_turn = true;
	l->now_us = clock_us();
	l->turns++;
	l->event_next = 0;
	l->event_count = n < 0 ? 0 : n;
	run_events(l);
	run_timers(l);
	/* What flush hooks queue (a connection that broke while sending) belongs to this turn
	 * too; while calls are left, for the next turn, what they may look at stays. */
	for (int i = 0; i < CALL_ROUNDS && loop_has_calls(l); i++) {
		run_calls(&l->calls);
		run_calls(&l->flushes);
	}
	if (!loop_has_calls(l))
		run_reaps(l);
	l->is_in_turn = false;
	return 0;
}

int loop_run(struct loop *l)
{
	int r = 0;

	while (!l->is_stopped && r == 0)
		r = loop_run_once(l, -1);
	l->is_stopped = false;
	return r;
}

void loop_set_spin(struct loop *l, int64_t max_us)
{
	l->spin_max_us = max_us;
}

void loop_stop(struct loop *l)
{
	l->is_stopped = true;
}

int64_t loop_now_us(const struct loop *l)
{
	return l->now_us;
}

int64_t loop_now_ms(const struct loop *l)
{
	return l->now_us / 1000;
}

uint64_t loop_turns(const struct loop *l)
{
	return l->turns;
}

/* ---- descriptors ---- */

/* Hang-up and error cannot be masked. A watch that waits for nothing (back-pressure) would spin
 * on them; edge triggered it hears of them once. */
static struct epoll_event epoll_event_of(struct loop_fd *w, uint32_t events)
{
	return (struct epoll_event){ .events = events ? events : EPOLLET, .data.ptr = w };
}

int loop_fd_add(struct loop *l, struct loop_fd *w, int fd, uint32_t events,
		void (*ready)(struct loop_fd *, uint32_t))
{
	struct epoll_event e = epoll_event_of(w, events);

	*w = (struct loop_fd){ .fd = fd };
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0)
		return -errno;
	w->loop = l;
	w->events = events;
	w->ready = ready;
	l->watches++;
	return 0;
}

void loop_fd_set(struct loop_fd *w, uint32_t events)
{
	struct epoll_event e = epoll_event_of(w, events);

	assert(w->loop);
	if (w->events == events)
		return;
	/* Fails only for a descriptor that was closed behind our back. */
	if (epoll_ctl(w->loop->epoll_fd, EPOLL_CTL_MOD, w->fd, &e) < 0)
		g_error("loop: descriptor %d was closed while watched", w->fd);
	w->events = events;
}

void loop_fd_remove(struct loop_fd *w)
{
	struct loop *l = w->loop;

	if (!l)
		return;
	epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
	for (int i = l->event_next; i < l->event_count; i++)
		if (l->events[i].data.ptr == w)
			l->events[i].data.ptr = NULL;
	l->watches--;
	w->loop = NULL;
	w->events = 0;
}

bool loop_fd_is_active(const struct loop_fd *w)
{
	return w->loop != NULL;
}

/* ---- timers ---- */

static void heap_place(struct loop *l, unsigned i, struct loop_timer *t)
{
	l->heap[i] = t;
	t->heap_index = i;
}

static void heap_up(struct loop *l, unsigned i, struct loop_timer *t)
{
	while (i && l->heap[(i - 1) / 2]->due_us > t->due_us) {
		heap_place(l, i, l->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_place(l, i, t);
}

static void heap_down(struct loop *l, unsigned i, struct loop_timer *t)
{
	for (;;) {
		unsigned child = 2 * i + 1;

		if (child + 1 < l->heap_count &&
		    l->heap[child + 1]->due_us < l->heap[child]->due_us)
			child++;
		if (child >= l->heap_count || l->heap[child]->due_us >= t->due_us)
			break;
		heap_place(l, i, l->heap[child]);
		i = child;
	}
	heap_place(l, i, t);
}

/* Put @t where it belongs, given that place @i is free. */
static void heap_settle(struct loop *l, unsigned i, struct loop_timer *t)
{
	if (i && l->heap[(i - 1) / 2]->due_us > t->due_us)
		heap_up(l, i, t);
	else
		heap_down(l, i, t);
}

void loop_timer_init(struct loop *l, struct loop_timer *t, void (*expired)(struct loop_timer *))
{
	*t = (struct loop_timer){ .loop = l, .heap_index = UINT_MAX, .expired = expired };
	if (++l->timers > l->heap_size) {
		l->heap_size = l->heap_size ? l->heap_size * 2 : 16;
		l->heap = g_renew(struct loop_timer *, l->heap, l->heap_size);
	}
}

void loop_timer_start_us(struct loop_timer *t, int64_t delay_us)
{
	struct loop *l = t->loop;

	assert(l);
	if (delay_us < 0)
		delay_us = 0;
	/* A timer that restarts itself waits for the next turn at least. */
	if (delay_us == 0 && l->is_expiring)
		delay_us = 1;
	t->due_us = delay_us > INT64_MAX - l->now_us ? INT64_MAX : l->now_us + delay_us;
	if (t->heap_index == UINT_MAX) {
		l->heap_count++;
		heap_up(l, l->heap_count - 1, t);
	} else {
		heap_settle(l, t->heap_index, t);
	}
}

void loop_timer_start(struct loop_timer *t, int64_t delay_ms)
{
	loop_timer_start_us(t, delay_ms > INT64_MAX / 1000 ? INT64_MAX
			       : delay_ms < 0		   ? 0
							   : delay_ms * 1000);
}

void loop_timer_stop(struct loop_timer *t)
{
	struct loop *l = t->loop;
	unsigned i = t->heap_index;

	if (!loop_timer_is_running(t))
		return;
	l->heap_count--;
	if (i < l->heap_count)
		heap_settle(l, i, l->heap[l->heap_count]);
	t->heap_index = UINT_MAX;
}

bool loop_timer_is_running(const struct loop_timer *t)
{
	return t->loop && t->heap_index != UINT_MAX;
}

void loop_timer_done(struct loop_timer *t)
{
	if (!t->loop)
		return;
	loop_timer_stop(t);
	t->loop->timers--;
	t->loop = NULL;
}

/* ---- calls ---- */

void loop_call_init(struct loop_call *c, void (*run)(struct loop_call *))
{
	list_init(&c->link);
	c->run = run;
}

void loop_call_queue(struct loop *l, struct loop_call *c)
{
	if (!list_is_linked(&c->link))
		list_push_tail(&l->calls, &c->link);
}

void loop_call_cancel(struct loop_call *c)
{
	list_remove(&c->link);
}

void loop_flush_queue(struct loop *l, struct loop_call *c)
{
	if (!list_is_linked(&c->link))
		list_push_tail(&l->flushes, &c->link);
}

void loop_reap(struct loop *l, struct loop_reap *r, void (*free)(struct loop_reap *))
{
	r->free = free;
	list_push_tail(&l->reaps, &r->link);
}
