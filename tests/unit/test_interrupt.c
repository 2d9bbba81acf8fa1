/* SPDX-License-Identifier: BSD-2-Clause */
/* Which signals mean an interrupt: by texts as proc(5) shows them, and by threads of our own.
 */
#include "fuse/interrupt.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "unit.h"

/* The lines of a status that count, in the order of the kernel, with others between them. */
static enum interrupt_kind judge(const char *thread, const char *process, const char *blocked,
				 const char *ignored, const char *caught)
{
	char text[512];

	snprintf(text, sizeof(text),
		 "Name:\tsh\nPid:\t7\nSigQ:\t0/9\nSigPnd:\t%s\nShdPnd:\t%s\nSigBlk:\t%s\n"
		 "SigIgn:\t%s\nSigCgt:\t%s\nCapInh:\tffffffffffffffff\n",
		 thread, process, blocked, ignored, caught);
	return interrupt_judge(text);
}

#define NONE "0000000000000000"

static void test_interrupt_judges_by_the_pending_signals(void)
{
	static const struct {
		const char *thread, *process, *blocked, *ignored, *caught;
		enum interrupt_kind kind;
	} rows[] = {
		{ NONE, NONE, NONE, NONE, NONE, INTERRUPT_NONE },
		/* CHLD is 17, which a shell catches */
		{ NONE, "0000000000010000", NONE, NONE, "0000000000010002", INTERRUPT_CAUGHT },
		{ NONE, "0000000000010000", NONE, NONE, NONE, INTERRUPT_NONE },
		{ "0000000000400000", NONE, NONE, NONE, "0000000000400000",
		  INTERRUPT_CAUGHT }, /* URG */
		{ NONE, "0000000008000000", NONE, NONE, "0000000008000000",
		  INTERRUPT_CAUGHT }, /* WINCH */
		{ NONE, "0000000000080000", NONE, NONE, NONE, INTERRUPT_NONE }, /* TSTP */
		{ NONE, "0000000000000200", NONE, NONE, "0000000000000200",
		  INTERRUPT_CAUGHT }, /* USR1 */
		{ NONE, "0000000000000002", NONE, NONE, "0000000000000002",
		  INTERRUPT_ASKED }, /* INT */
		{ NONE, "0000000000004000", NONE, NONE, "0000000000004000",
		  INTERRUPT_ASKED }, /* TERM */
		{ "0000000000002000", NONE, NONE, NONE, "0000000000002000",
		  INTERRUPT_ASKED }, /* ALRM */
		{ NONE, "0000000000000002", "0000000000000002", NONE, "0000000000000002",
		  INTERRUPT_NONE },
		{ NONE, "0000000000000002", NONE, "0000000000000002", NONE, INTERRUPT_NONE },
		{ "0000000000000100", "0000000000004000", NONE, NONE, NONE,
		  INTERRUPT_KILLED }, /* KILL */
		{ "0000000000000100", NONE, "ffffffffffffffff", NONE, NONE, INTERRUPT_KILLED },
		{ NONE, "0000000000000004", NONE, NONE, NONE,
		  INTERRUPT_KILLED }, /* QUIT, not caught */
		{ NONE, "0000000000000200", NONE, NONE, NONE,
		  INTERRUPT_KILLED }, /* USR1, not caught */
		{ NONE, "8000000000000000", NONE, NONE, NONE, INTERRUPT_KILLED }, /* 64 */
		{ NONE, "0000000000010002", NONE, NONE, "0000000000010002", INTERRUPT_ASKED },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CU_ASSERT_EQUAL(judge(rows[i].thread, rows[i].process, rows[i].blocked,
				      rows[i].ignored, rows[i].caught),
				rows[i].kind);
	CU_ASSERT_EQUAL(interrupt_judge(NULL), INTERRUPT_KILLED);
	CU_ASSERT_EQUAL(interrupt_judge("Name:\tsh\n"), INTERRUPT_NONE);
}

/* --- a thread of this process --- */

static atomic_int thread_id;
static atomic_bool is_over;

static void *waits(void *arg)
{
	(void)arg;
	atomic_store(&thread_id, (int)syscall(SYS_gettid));
	while (!atomic_load(&is_over))
		usleep(1000);
	return NULL;
}

struct request {
	struct interrupt interrupt;
	unsigned meant;
};

static void on_meant(struct interrupt *i)
{
	container_of(i, struct request, interrupt)->meant++;
}

static void test_interrupt_of_a_thread_that_has_no_signal_waits(void)
{
	struct loop *l = loop_new();
	struct interrupt_watch w;
	struct request r = { 0 };
	pthread_t thread;

	atomic_store(&thread_id, 0);
	atomic_store(&is_over, false);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, waits, NULL), 0);
	while (!atomic_load(&thread_id))
		usleep(1000);
	interrupt_watch_init(&w, l);
	interrupt_init(&r.interrupt, atomic_load(&thread_id), INTERRUPT_ASKED, on_meant);
	interrupt_came(&w, &r.interrupt);
	interrupt_came(&w, &r.interrupt);
	loop_run_once(l, 2 * INTERRUPT_LOOK_MS);
	loop_run_once(l, 2 * INTERRUPT_LOOK_MS);
	CU_ASSERT_EQUAL(r.meant, 0);
	CU_ASSERT_TRUE(list_is_linked(&r.interrupt.link));
	/* The thread ends: there is nobody to wait for, and it is told once. */
	atomic_store(&is_over, true);
	pthread_join(thread, NULL);
	while (!r.meant)
		loop_run_once(l, 2 * INTERRUPT_LOOK_MS);
	loop_run_once(l, 0);
	CU_ASSERT_EQUAL(r.meant, 1);
	CU_ASSERT_FALSE(list_is_linked(&r.interrupt.link));
	interrupt_watch_done(&w);
	loop_free(l);
}

static void test_interrupt_of_nobody_is_meant_at_once(void)
{
	struct loop *l = loop_new();
	struct interrupt_watch w;
	struct request r = { 0 };

	interrupt_watch_init(&w, l);
	interrupt_init(&r.interrupt, 0, INTERRUPT_KILLED, on_meant);
	interrupt_came(&w, &r.interrupt);
	CU_ASSERT_EQUAL(r.meant, 1);
	interrupt_watch_done(&w);
	loop_free(l);
}

static void test_interrupt_that_is_forgotten_is_not_meant(void)
{
	struct loop *l = loop_new();
	struct interrupt_watch w;
	struct request r = { 0 };

	interrupt_watch_init(&w, l);
	interrupt_init(&r.interrupt, getpid(), INTERRUPT_KILLED, on_meant);
	interrupt_came(&w, &r.interrupt);
	CU_ASSERT_EQUAL(r.meant, 0);
	interrupt_forget(&r.interrupt);
	interrupt_forget(&r.interrupt);
	loop_run_once(l, 2 * INTERRUPT_LOOK_MS);
	CU_ASSERT_EQUAL(r.meant, 0);
	CU_ASSERT_FALSE(loop_timer_is_running(&w.timer));
	interrupt_watch_done(&w);
	loop_free(l);
}

UNIT_MAIN("interrupt", UNIT(test_interrupt_judges_by_the_pending_signals),
	  UNIT(test_interrupt_of_a_thread_that_has_no_signal_waits),
	  UNIT(test_interrupt_of_nobody_is_meant_at_once),
	  UNIT(test_interrupt_that_is_forgotten_is_not_meant))
