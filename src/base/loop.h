/* SPDX-License-Identifier: BSD-2-Clause */
/* The reactor: one thread, one epoll descriptor. It owns readiness of descriptors, timers,
 * deferred calls and the flush hooks that run before the loop sleeps. Everything of the daemon
 * but the helper thread (worker.h) runs from here, so no object needs a lock.
 *
 * One turn is: epoll_wait, then the callbacks of ready descriptors, then due timers, then
 * deferred calls (those queued by deferred calls run in the same turn, up to a bound), then
 * flush hooks (both repeated while they queue more), then the reaper. The cached clock is read once
 * at the start of a turn.
 *
 * Embedding: struct loop_fd, loop_timer and loop_call are members of the object that uses them,
 * found again with container_of. Init once; done/stop is idempotent. Nothing here allocates in
 * a turn: the timer heap grows when a timer is *initialised*, so starting one cannot fail.
 * A callback may remove or free any watch, its own included: removal clears the events of this
 * turn that were not delivered yet. */
#ifndef ISCSIFS_LOOP_H
#define ISCSIFS_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct loop;

struct loop_fd {
	struct loop *loop; /* NULL when not watched */
	int fd;
	uint32_t events; /* EPOLLIN, EPOLLOUT ... level triggered */
	void (*ready)(struct loop_fd *w, uint32_t events);
};

struct loop_timer {
	struct loop *loop;
	unsigned heap_index; /* UINT_MAX: not running */
	int64_t due_us;
	void (*expired)(struct loop_timer *t);
};

/* A call that runs once, later: in the same turn, after the callback that queued it. */
struct loop_call {
	struct list link;
	void (*run)(struct loop_call *c);
};

/* A thing to free when this turn can no longer see it. */
struct loop_reap {
	struct list link;
	void (*free)(struct loop_reap *r);
};

/* NULL with errno when no epoll or memory is to be had. */
struct loop *loop_new(void);
/* All watches and timers must be gone; runs the reaper a last time. NULL is fine. */
void loop_free(struct loop *l);

/* Run until loop_stop(); 0, or -errno when epoll itself fails. */
int loop_run(struct loop *l);
/* Sleeping costs two context switches and, on a virtual machine, a wake-up of the processor: with one
 * request at a time that is most of its latency. With @max_us > 0 the loop looks for events for a
 * while before it sleeps. How long adapts like the kernel's halt polling: doubled when an event came
 * soon after the loop gave up, cut to nothing when none came for long, so that an idle loop sleeps.
 * 0, the default: it sleeps at once. May be called at any time; cheap. */
void loop_set_spin(struct loop *l, int64_t max_us);
/* One turn, sleeping at most @timeout_ms (-1: no limit): for tests. */
int loop_run_once(struct loop *l, int timeout_ms);
/* Ends loop_run() at the end of this turn. */
void loop_stop(struct loop *l);

/* Monotonic microseconds/milliseconds as of the start of this turn. */
int64_t loop_now_us(const struct loop *l);
int64_t loop_now_ms(const struct loop *l);
/* Turns run so far: to see in a test that an idle loop sleeps. */
uint64_t loop_turns(const struct loop *l);

/* Watch @fd. 0 or -errno; @w unwatched on error. @events 0 waits for nothing (back-pressure):
 * hang-up and error, which epoll reports always, then come once instead of in every turn. */
int loop_fd_add(struct loop *l, struct loop_fd *w, int fd, uint32_t events,
		void (*ready)(struct loop_fd *, uint32_t));
/* Change what is waited for; no system call when nothing changes. */
void loop_fd_set(struct loop_fd *w, uint32_t events);
/* Stop watching; the descriptor stays open (close it after this). Idempotent. */
void loop_fd_remove(struct loop_fd *w);
bool loop_fd_is_active(const struct loop_fd *w);

/* Reserves a place in the heap; aborts the process when memory is out, like glib (this is
 * control path: timers are initialised when objects are made). */
void loop_timer_init(struct loop *l, struct loop_timer *t, void (*expired)(struct loop_timer *));
/* (Re)start: fires once, @delay_ms from now. Negative counts as 0. */
void loop_timer_start(struct loop_timer *t, int64_t delay_ms);
void loop_timer_start_us(struct loop_timer *t, int64_t delay_us);
/* Idempotent. */
void loop_timer_stop(struct loop_timer *t);
bool loop_timer_is_running(const struct loop_timer *t);
/* Stop and give the place in the heap back; @t must be initialised again before use. Harmless
 * on a zeroed timer. */
void loop_timer_done(struct loop_timer *t);

void loop_call_init(struct loop_call *c, void (*run)(struct loop_call *));
/* Queue; harmless when queued already. */
void loop_call_queue(struct loop *l, struct loop_call *c);
void loop_call_cancel(struct loop_call *c);
static inline bool loop_call_is_queued(const struct loop_call *c)
{
	return list_is_linked(&c->link);
}

/* Like loop_call_queue(), but run just before the loop sleeps, so that what many events of a
 * turn produced leaves in one system call. */
void loop_flush_queue(struct loop *l, struct loop_call *c);

/* Run @free at the end of the turn. */
void loop_reap(struct loop *l, struct loop_reap *r, void (*free)(struct loop_reap *));

#endif
