/* SPDX-License-Identifier: BSD-2-Clause */
/* Unit tests of base/loop.c. Each thing appends its name to trail, which then tells the order.
 */
#include "base/loop.h"

#include <errno.h>
#include <glib.h>
#include <limits.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "unit.h"

static struct loop *loop;
static GString *trail;

static void start(void)
{
	loop = loop_new();
	CU_ASSERT_PTR_NOT_NULL_FATAL(loop);
	trail = g_string_new(NULL);
}

static void end(void)
{
	loop_free(loop);
	g_string_free(trail, TRUE);
}

/* ---- descriptors ---- */

struct watch {
	struct loop_fd fd;
	char name;
	struct watch *victim; /* removed (and freed) when this one is ready */
	uint32_t seen;
};

static void watch_ready(struct loop_fd *fd, uint32_t events)
{
	struct watch *w = container_of(fd, struct watch, fd);

	g_string_append_c(trail, w->name);
	w->seen = events;
	if (w->victim) {
		loop_fd_remove(&w->victim->fd);
		close(w->victim->fd.fd);
		g_free(g_steal_pointer(&w->victim));
	}
}

/* A watch on an eventfd, readable when @count is not 0. */
static struct watch *watch_new(char name, unsigned count)
{
	struct watch *w = g_new0(struct watch, 1);

	w->name = name;
	CU_ASSERT_EQUAL_FATAL(
		loop_fd_add(loop, &w->fd, eventfd(count, EFD_NONBLOCK), EPOLLIN, watch_ready),
		0);
	return w;
}

static void watch_free(struct watch *w)
{
	loop_fd_remove(&w->fd);
	close(w->fd.fd);
	g_free(w);
}

static void test_loop_calls_ready_descriptors_level_triggered(void)
{
	struct watch *a, *b;

	start();
	a = watch_new('a', 1);
	b = watch_new('b', 0);
	loop_run_once(loop, 0);
	loop_run_once(loop, 0);
	CU_ASSERT_STRING_EQUAL(trail->str, "aa");
	CU_ASSERT_EQUAL(a->seen, EPOLLIN);
	watch_free(a);
	watch_free(b);
	end();
}

static void test_loop_does_not_deliver_to_a_watch_freed_in_this_turn(void)
{
	struct watch *a, *b;

	start();
	a = watch_new('a', 1);
	b = watch_new('b', 1);
	a->victim = b;
	/* whichever comes first removes the other */
	b->victim = a;
	loop_run_once(loop, 0);
	CU_ASSERT_EQUAL(trail->len, 1);
	watch_free(trail->str[0] == 'a' ? a : b);
	end();
}

static void test_loop_fd_remove_may_be_repeated(void)
{
	struct watch *a;

	start();
	a = watch_new('a', 1);
	loop_fd_remove(&a->fd);
	loop_fd_remove(&a->fd);
	CU_ASSERT_FALSE(loop_fd_is_active(&a->fd));
	loop_run_once(loop, 0);
	CU_ASSERT_STRING_EQUAL(trail->str, "");
	watch_free(a);
	end();
}

static void remove_self(struct loop_fd *fd, uint32_t events)
{
	struct watch *w = container_of(fd, struct watch, fd);

	(void)events;
	g_string_append_c(trail, w->name);
	watch_free(w);
}

static void test_loop_frees_a_watch_from_its_own_callback(void)
{
	start();
	watch_new('a', 1)->fd.ready = remove_self;
	loop_run_once(loop, 0);
	loop_run_once(loop, 0);
	CU_ASSERT_STRING_EQUAL(trail->str, "a");
	end();
}

static void test_loop_fd_set_changes_what_is_waited_for(void)
{
	struct watch *a;

	start();
	a = watch_new('a', 1);
	loop_fd_set(&a->fd, 0);
	loop_run_once(loop, 0);
	CU_ASSERT_STRING_EQUAL(trail->str, "");
	loop_fd_set(&a->fd, EPOLLIN | EPOLLOUT);
	loop_run_once(loop, 0);
	CU_ASSERT_EQUAL(a->seen, EPOLLIN | EPOLLOUT);
	loop_fd_set(&a->fd, EPOLLOUT);
	loop_run_once(loop, 0);
	CU_ASSERT_EQUAL(a->seen, EPOLLOUT);
	watch_free(a);
	end();
}

static struct watch *pausable[2];

static void pause_both(struct loop_fd *fd, uint32_t events)
{
	(void)fd;
	(void)events;
	g_string_append_c(trail, '!');
	loop_fd_set(&pausable[0]->fd, 0);
	loop_fd_set(&pausable[1]->fd, 0);
}

static void test_loop_does_not_deliver_what_was_paused_in_this_turn(void)
{
	start();
	for (int i = 0; i < 2; i++) {
		pausable[i] = watch_new('a', 1);
		pausable[i]->fd.ready = pause_both;
	}
	loop_run_once(loop, 0);
	loop_run_once(loop, 0);
	CU_ASSERT_STRING_EQUAL(trail->str, "!");
	watch_free(pausable[0]);
	watch_free(pausable[1]);
	end();
}

static void test_loop_paused_watch_does_not_spin_on_hang_up(void)
{
	struct watch *a;
	int pair[2];

	start();
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	a = g_new0(struct watch, 1);
	a->name = 'a';
	CU_ASSERT_EQUAL(loop_fd_add(loop, &a->fd, pair[0], 0, watch_ready), 0);
	close(pair[1]);
	for (int i = 0; i < 5; i++)
		loop_run_once(loop, 0);
	CU_ASSERT_STRING_EQUAL(trail->str, "a");
	CU_ASSERT(a->seen & EPOLLHUP);
	loop_fd_set(&a->fd, EPOLLIN);
	loop_run_once(loop, 0);
	CU_ASSERT_STRING_EQUAL(trail->str, "aa");
	watch_free(a);
	end();
}

static void test_loop_refuses_a_bad_descriptor(void)
{
	struct watch a = { 0 };

	start();
	CU_ASSERT_EQUAL(loop_fd_add(loop, &a.fd, -1, EPOLLIN, watch_ready), -EBADF);
	CU_ASSERT_FALSE(loop_fd_is_active(&a.fd));
	loop_fd_remove(&a.fd);
	end();
}

static void test_loop_watches_more_than_one_turn_can_deliver(void)
{
	struct watch *all[200];

	start();
	for (int i = 0; i < 200; i++) {
		all[i] = watch_new('a', 1);
		loop_fd_set(&all[i]->fd, EPOLLIN | EPOLLET);
	}
	for (int i = 0; i < 4; i++)
		loop_run_once(loop, 0);
	CU_ASSERT_EQUAL(trail->len, 200);
	for (int i = 0; i < 200; i++)
		watch_free(all[i]);
	end();
}

/* ---- timers ---- */

struct clockwork {
	struct loop_timer timer;
	char name;
	int64_t restart_us; /* -1: no */
	struct clockwork *victim;
};

static void clockwork_expired(struct loop_timer *t)
{
	struct clockwork *c = container_of(t, struct clockwork, timer);

	CU_ASSERT_FALSE(loop_timer_is_running(t));
	g_string_append_c(trail, c->name);
	if (c->restart_us >= 0)
		loop_timer_start_us(t, c->restart_us);
	if (c->victim)
		loop_timer_done(&c->victim->timer);
}

static void clockwork_init(struct clockwork *c, char name)
{
	*c = (struct clockwork){ .name = name, .restart_us = -1 };
	loop_timer_init(loop, &c->timer, clockwork_expired);
}

static void run_for_ms(int64_t ms)
{
	int64_t until = g_get_monotonic_time() + ms * 1000;

	while (g_get_monotonic_time() < until)
		loop_run_once(loop, 1);
}

static void test_loop_timers_expire_in_order_of_time(void)
{
	struct clockwork c[3];

	start();
	for (int i = 0; i < 3; i++)
		clockwork_init(&c[i], (char)('a' + i));
	loop_timer_start(&c[0].timer, 9);
	loop_timer_start(&c[1].timer, 3);
	loop_timer_start(&c[2].timer, 6);
	CU_ASSERT(loop_timer_is_running(&c[0].timer));
	run_for_ms(20);
	CU_ASSERT_STRING_EQUAL(trail->str, "bca");
	CU_ASSERT_FALSE(loop_timer_is_running(&c[0].timer));
	for (int i = 0; i < 3; i++)
		loop_timer_done(&c[i].timer);
	end();
}

static void test_loop_timer_never_expires_early(void)
{
	struct clockwork c;
	int64_t begin;

	start();
	clockwork_init(&c, 'a');
	for (int i = 0; i < 20; i++) {
		loop_run_once(loop, 0);
		begin = loop_now_us(loop);
		g_string_truncate(trail, 0);
		loop_timer_start_us(&c.timer, 700 + i * 37);
		while (!trail->len)
			loop_run_once(loop, -1);
		CU_ASSERT(loop_now_us(loop) - begin >= 700 + i * 37);
	}
	loop_timer_done(&c.timer);
	end();
}

static void test_loop_timer_of_no_delay_expires_in_the_next_turn(void)
{
	struct clockwork a, b;

	start();
	clockwork_init(&a, 'a');
	clockwork_init(&b, 'b');
	loop_timer_start(&a.timer, 0);
	loop_timer_start(&b.timer, -5);
	loop_run_once(loop, -1);
	CU_ASSERT_EQUAL(trail->len, 2);
	loop_timer_done(&a.timer);
	loop_timer_done(&b.timer);
	end();
}

static void test_loop_timer_that_restarts_itself_runs_once_a_turn(void)
{
	struct clockwork a;

	start();
	clockwork_init(&a, 'a');
	a.restart_us = 0;
	loop_timer_start(&a.timer, 0);
	for (int i = 0; i < 3; i++)
		loop_run_once(loop, -1);
	CU_ASSERT_STRING_EQUAL(trail->str, "aaa");
	loop_timer_done(&a.timer);
	end();
}

static void test_loop_timer_restarts_and_stops(void)
{
	struct clockwork a, b;

	start();
	clockwork_init(&a, 'a');
	clockwork_init(&b, 'b');
	loop_timer_start(&a.timer, 0);
	loop_timer_start(&a.timer, 100000);
	loop_timer_start(&b.timer, 100000);
	loop_timer_start(&b.timer, 0);
	loop_run_once(loop, 0);
	CU_ASSERT_STRING_EQUAL(trail->str, "b");
	loop_timer_start(&b.timer, 0);
	loop_timer_stop(&b.timer);
	loop_timer_stop(&b.timer);
	loop_run_once(loop, 0);
	CU_ASSERT_STRING_EQUAL(trail->str, "b");
	loop_timer_done(&a.timer);
	loop_timer_done(&b.timer);
	loop_timer_done(&b.timer);
	end();
}

static void test_loop_timer_may_end_another_that_is_due(void)
{
	struct clockwork a, b;

	start();
	clockwork_init(&a, 'a');
	clockwork_init(&b, 'b');
	loop_timer_start(&a.timer, 0);
	loop_timer_start_us(&b.timer, 1);
	a.victim = &b;
	b.victim = &a;
	g_usleep(10);
	loop_run_once(loop, 0);
	CU_ASSERT_STRING_EQUAL(trail->str, "a");
	loop_timer_done(&a.timer);
	end();
}

static void test_loop_timer_zeroed_is_harmless(void)
{
	struct loop_timer t = { 0 };

	loop_timer_stop(&t);
	CU_ASSERT_FALSE(loop_timer_is_running(&t));
	loop_timer_done(&t);
}

static void test_loop_timer_far_away_does_not_overflow(void)
{
	struct clockwork a;

	start();
	clockwork_init(&a, 'a');
	loop_timer_start(&a.timer, INT64_MAX);
	loop_run_once(loop, 0);
	loop_timer_start_us(&a.timer, INT64_MAX);
	loop_run_once(loop, 0);
	CU_ASSERT_STRING_EQUAL(trail->str, "");
	CU_ASSERT(loop_timer_is_running(&a.timer));
	loop_timer_done(&a.timer);
	end();
}

#define MANY 500

static int64_t last_due_us;
static unsigned fired;

static void check_order(struct loop_timer *t)
{
	CU_ASSERT(t->due_us >= last_due_us);
	last_due_us = t->due_us;
	fired++;
}

static void test_loop_timer_heap_stays_ordered_under_random_use(void)
{
	static struct loop_timer timers[MANY];
	unsigned running = 0, x = 1;

	start();
	for (int i = 0; i < MANY; i++)
		loop_timer_init(loop, &timers[i], check_order);
	for (int i = 0; i < 20000; i++) {
		struct loop_timer *t = &timers[(x = x * 1664525 + 1013904223) >> 8 & 255];

		if (x >> 30 == 0)
			loop_timer_stop(t);
		else
			loop_timer_start_us(t, x >> 20);
	}
	for (int i = 0; i < MANY; i++)
		running += loop_timer_is_running(&timers[i]);
	last_due_us = 0;
	fired = 0;
	run_for_ms(10);
	CU_ASSERT_EQUAL(fired, running);
	CU_ASSERT(running > 100);
	for (int i = 0; i < MANY; i++)
		loop_timer_done(&timers[i]);
	end();
}

/* ---- calls, flush hooks, reaper ---- */

struct step {
	struct loop_call call;
	struct loop_reap reap;
	char name;
	struct step *next, *next_flush, *cancel;
	bool is_reaped;
};

static void step_free(struct loop_reap *r)
{
	struct step *s = container_of(r, struct step, reap);

	g_string_append_c(trail, (char)(s->name - 'a' + 'A'));
}

static void step_run(struct loop_call *c)
{
	struct step *s = container_of(c, struct step, call);

	CU_ASSERT_FALSE(loop_call_is_queued(c));
	g_string_append_c(trail, s->name);
	if (s->next)
		loop_call_queue(loop, &s->next->call);
	if (s->next_flush)
		loop_flush_queue(loop, &s->next_flush->call);
	if (s->cancel)
		loop_call_cancel(&s->cancel->call);
	if (s->is_reaped)
		loop_reap(loop, &s->reap, step_free);
}

static void steps_init(struct step *s, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		s[i] = (struct step){ .name = (char)('a' + i) };
		loop_call_init(&s[i].call, step_run);
	}
}

static void test_loop_calls_run_once_in_order(void)
{
	struct step s[3];

	start();
	steps_init(s, 3);
	loop_call_queue(loop, &s[1].call);
	loop_call_queue(loop, &s[0].call);
	loop_call_queue(loop, &s[1].call);
	loop_call_queue(loop, &s[2].call);
	loop_call_cancel(&s[2].call);
	loop_call_cancel(&s[2].call);
	loop_run_once(loop, -1);
	loop_run_once(loop, 0);
	CU_ASSERT_STRING_EQUAL(trail->str, "ba");
	end();
}

static void test_loop_calls_queued_by_calls_run_before_flush_hooks(void)
{
	struct step s[4];

	start();
	steps_init(s, 4);
	s[0].next = &s[1];
	s[0].next_flush = &s[2];
	s[1].next_flush = &s[3];
	s[1].is_reaped = true;
	loop_call_queue(loop, &s[0].call);
	loop_run_once(loop, -1);
	CU_ASSERT_STRING_EQUAL(trail->str, "abcdB");
	end();
}

static void test_loop_flush_hook_may_queue_calls_and_hooks_for_the_same_turn(void)
{
	struct step s[4];

	start();
	steps_init(s, 4);
	s[0].next_flush = &s[1];
	s[1].next = &s[2];
	s[2].next_flush = &s[3];
	s[0].is_reaped = true;
	loop_flush_queue(loop, &s[0].call);
	loop_flush_queue(loop, &s[0].call);
	loop_run_once(loop, -1);
	CU_ASSERT_STRING_EQUAL(trail->str, "abcdA");
	end();
}

static void test_loop_call_may_cancel_the_next(void)
{
	struct step s[2];

	start();
	steps_init(s, 2);
	s[0].cancel = &s[1];
	loop_call_queue(loop, &s[0].call);
	loop_call_queue(loop, &s[1].call);
	loop_run_once(loop, -1);
	CU_ASSERT_STRING_EQUAL(trail->str, "a");
	end();
}

static void test_loop_call_that_queues_itself_does_not_stop_the_turn(void)
{
	struct step s[1];
	struct watch *w;

	start();
	steps_init(s, 1);
	w = watch_new('z', 1);
	s[0].next = &s[0];
	loop_call_queue(loop, &s[0].call);
	loop_run_once(loop, -1);
	g_string_truncate(trail, 0);
	loop_run_once(loop, -1);
	CU_ASSERT_EQUAL(trail->str[0], 'z');
	loop_call_cancel(&s[0].call);
	watch_free(w);
	end();
}

static void test_loop_reaps_after_the_turns_callbacks(void)
{
	struct step s[2];
	struct watch *w;

	start();
	steps_init(s, 2);
	w = watch_new('z', 1);
	loop_reap(loop, &s[1].reap, step_free);
	loop_call_queue(loop, &s[0].call);
	loop_run_once(loop, -1);
	CU_ASSERT_STRING_EQUAL(trail->str, "zaB");
	watch_free(w);
	end();
}

static void test_loop_free_reaps(void)
{
	struct step s[1];

	start();
	steps_init(s, 1);
	loop_reap(loop, &s[0].reap, step_free);
	loop_call_queue(loop, &s[0].call);
	loop_free(loop);
	CU_ASSERT_STRING_EQUAL(trail->str, "A");
	CU_ASSERT_FALSE(loop_call_is_queued(&s[0].call));
	g_string_free(trail, TRUE);
	loop_free(NULL);
}

/* ---- the loop itself ---- */

static void stop_loop(struct loop_timer *t)
{
	(void)t;
	loop_stop(loop);
}

static void test_loop_that_is_idle_sleeps(void)
{
	struct loop_timer t;
	struct watch *w;
	uint64_t turns;

	start();
	w = watch_new('a', 0);
	loop_timer_init(loop, &t, stop_loop);
	loop_timer_start(&t, 50);
	turns = loop_turns(loop);
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT(loop_turns(loop) - turns <= 3);
	loop_timer_done(&t);
	watch_free(w);
	end();
}

static void test_loop_stop_before_run_ends_it_at_once(void)
{
	start();
	loop_stop(loop);
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_EQUAL(loop_turns(loop), 0);
	end();
}

static int64_t seen_us;

static void slow(struct loop_call *c)
{
	(void)c;
	seen_us = loop_now_us(loop);
	g_usleep(3000);
	CU_ASSERT_EQUAL(loop_now_us(loop), seen_us);
	CU_ASSERT_EQUAL(loop_now_ms(loop), seen_us / 1000);
}

static void test_loop_clock_stands_still_in_a_turn(void)
{
	struct loop_call c;

	start();
	loop_call_init(&c, slow);
	loop_call_queue(loop, &c);
	loop_run_once(loop, 0);
	loop_run_once(loop, 0);
	CU_ASSERT(loop_now_us(loop) >= seen_us + 3000);
	end();
}

/* Looking before sleeping must change nothing but when the processor sleeps. */
static void test_loop_that_spins_still_sleeps_when_idle(void)
{
	struct loop *l = loop_new();
	clock_t before;

	loop_set_spin(l, 100);
	for (int i = 0; i < 5; i++) /* the first of these adapt */
		loop_run_once(l, 1);
	before = clock();
	for (int i = 0; i < 10; i++)
		CU_ASSERT_EQUAL(loop_run_once(l, 50), 0);
	CU_ASSERT_TRUE(clock() - before < CLOCKS_PER_SEC / 10); /* of half a second */
	loop_free(l);
}

static void spin_ready(struct loop_fd *w, uint32_t events)
{
	char c;

	(void)events;
	CU_ASSERT_EQUAL(read(w->fd, &c, 1), 1);
}

static void test_loop_that_spins_hears_of_events_and_timers(void)
{
	struct loop *l = loop_new();
	struct loop_fd w = { 0 };
	int fds[2];

	CU_ASSERT_EQUAL_FATAL(pipe(fds), 0);
	loop_set_spin(l, 1000);
	CU_ASSERT_EQUAL(loop_fd_add(l, &w, fds[0], EPOLLIN, spin_ready), 0);
	for (int i = 0; i < 1000; i++) {
		CU_ASSERT_EQUAL(write(fds[1], "x", 1), 1);
		loop_run_once(l, -1);
		loop_run_once(l, 0);
	}
	loop_fd_remove(&w);
	loop_free(l);
	close(fds[0]);
	close(fds[1]);
}

UNIT_MAIN("loop", UNIT(test_loop_that_spins_still_sleeps_when_idle),
	  UNIT(test_loop_that_spins_hears_of_events_and_timers),
	  UNIT(test_loop_calls_ready_descriptors_level_triggered),
	  UNIT(test_loop_does_not_deliver_to_a_watch_freed_in_this_turn),
	  UNIT(test_loop_fd_remove_may_be_repeated),
	  UNIT(test_loop_frees_a_watch_from_its_own_callback),
	  UNIT(test_loop_fd_set_changes_what_is_waited_for),
	  UNIT(test_loop_does_not_deliver_what_was_paused_in_this_turn),
	  UNIT(test_loop_paused_watch_does_not_spin_on_hang_up),
	  UNIT(test_loop_refuses_a_bad_descriptor),
	  UNIT(test_loop_watches_more_than_one_turn_can_deliver),
	  UNIT(test_loop_timers_expire_in_order_of_time),
	  UNIT(test_loop_timer_never_expires_early),
	  UNIT(test_loop_timer_of_no_delay_expires_in_the_next_turn),
	  UNIT(test_loop_timer_that_restarts_itself_runs_once_a_turn),
	  UNIT(test_loop_timer_restarts_and_stops),
	  UNIT(test_loop_timer_may_end_another_that_is_due),
	  UNIT(test_loop_timer_zeroed_is_harmless),
	  UNIT(test_loop_timer_far_away_does_not_overflow),
	  UNIT(test_loop_timer_heap_stays_ordered_under_random_use),
	  UNIT(test_loop_calls_run_once_in_order),
	  UNIT(test_loop_calls_queued_by_calls_run_before_flush_hooks),
	  UNIT(test_loop_flush_hook_may_queue_calls_and_hooks_for_the_same_turn),
	  UNIT(test_loop_call_may_cancel_the_next),
	  UNIT(test_loop_call_that_queues_itself_does_not_stop_the_turn),
	  UNIT(test_loop_reaps_after_the_turns_callbacks), UNIT(test_loop_free_reaps),
	  UNIT(test_loop_that_is_idle_sleeps), UNIT(test_loop_stop_before_run_ends_it_at_once),
	  UNIT(test_loop_clock_stands_still_in_a_turn))
