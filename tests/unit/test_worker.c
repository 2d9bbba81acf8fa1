/* SPDX-License-Identifier: BSD-2-Clause */
/* Unit tests of base/worker.c; also run once under the thread sanitizer. */
#include "base/worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/loop.h"
#include "unit.h"

struct job {
	struct worker_job job;
	atomic_int runs;
	int dones, ran_at;
	pthread_t ran_in;
	atomic_int *gate; /* run() waits until it is not 0 */
	struct worker *again;
};

static struct loop *loop;
static atomic_int order, running, most_running;

static void job_run(struct worker_job *wj)
{
	struct job *j = container_of(wj, struct job, job);
	int now = ++running, most = most_running;

	while (now > most && !atomic_compare_exchange_weak(&most_running, &most, now))
		;
	while (j->gate && !*j->gate)
		usleep(100);
	j->ran_in = pthread_self();
	j->ran_at = order++;
	j->runs++;
	running--;
}

static void job_done(struct worker_job *wj)
{
	struct job *j = container_of(wj, struct job, job);
	struct worker *w = j->again;

	j->dones++;
	j->again = NULL;
	if (w)
		worker_submit(w, &j->job);
}

static void job_init(struct job *j, const void *key)
{
	*j = (struct job){ .job = { .order = key, .run = job_run, .done = job_done } };
}

static struct worker *start(unsigned threads)
{
	loop = loop_new();
	order = running = most_running = 0;
	return worker_new(loop, threads);
}

static void run_until_done(const struct job *j, int dones)
{
	for (int i = 0; i < 5000 && j->dones < dones; i++)
		loop_run_once(loop, 10);
	CU_ASSERT_EQUAL(j->dones, dones);
}

static void end(struct worker *w)
{
	worker_free(w);
	loop_free(loop);
}

static void test_worker_runs_in_a_thread_and_is_done_in_the_loop(void)
{
	struct worker *w = start(2);
	struct job j;

	CU_ASSERT_PTR_NOT_NULL_FATAL(w);
	job_init(&j, NULL);
	worker_submit(w, &j.job);
	usleep(2000);
	CU_ASSERT_EQUAL(j.dones, 0);
	run_until_done(&j, 1);
	CU_ASSERT_EQUAL(j.runs, 1);
	CU_ASSERT_FALSE(pthread_equal(j.ran_in, pthread_self()));
	loop_run_once(loop, 0);
	CU_ASSERT_EQUAL(j.dones, 1);
	end(w);
}

static void test_worker_job_may_be_submitted_again_by_its_done(void)
{
	struct worker *w = start(1);
	struct job j;

	job_init(&j, NULL);
	j.again = w;
	worker_submit(w, &j.job);
	run_until_done(&j, 2);
	CU_ASSERT_EQUAL(j.runs, 2);
	end(w);
}

static void test_worker_runs_jobs_of_one_key_in_order(void)
{
	struct worker *w = start(4);
	struct job jobs[100];
	int key;

	for (int i = 0; i < 100; i++) {
		job_init(&jobs[i], &key);
		worker_submit(w, &jobs[i].job);
	}
	run_until_done(&jobs[99], 1);
	for (int i = 0; i < 100; i++)
		CU_ASSERT_EQUAL(jobs[i].ran_at, i);
	CU_ASSERT_EQUAL(most_running, 1);
	end(w);
}

static void test_worker_runs_other_jobs_while_one_is_slow(void)
{
	struct worker *w = start(2);
	struct job slow, same, other;
	atomic_int gate = 0;
	int key;

	job_init(&slow, &key);
	job_init(&same, &key);
	job_init(&other, NULL);
	slow.gate = &gate;
	worker_submit(w, &slow.job);
	worker_submit(w, &same.job);
	worker_submit(w, &other.job);
	run_until_done(&other, 1);
	CU_ASSERT_EQUAL(same.runs, 0);
	CU_ASSERT_EQUAL(slow.dones, 0);
	gate = 1;
	run_until_done(&same, 1);
	CU_ASSERT_EQUAL(slow.dones, 1);
	CU_ASSERT(slow.ran_at < same.ran_at);
	end(w);
}

static void test_worker_runs_jobs_in_parallel(void)
{
	struct worker *w = start(3);
	struct job jobs[3];
	atomic_int gate = 0;

	for (int i = 0; i < 3; i++) {
		job_init(&jobs[i], NULL);
		jobs[i].gate = &gate;
		worker_submit(w, &jobs[i].job);
	}
	for (int i = 0; i < 5000 && running < 3; i++)
		usleep(1000);
	CU_ASSERT_EQUAL(running, 3);
	gate = 1;
	for (int i = 0; i < 3; i++)
		run_until_done(&jobs[i], 1);
	end(w);
}

static void *open_gate(void *gate)
{
	usleep(20000);
	*(atomic_int *)gate = 1;
	return NULL;
}

static void test_worker_free_waits_for_the_running_and_drops_the_waiting(void)
{
	struct worker *w = start(1);
	struct job slow, waiting;
	atomic_int gate = 0;
	pthread_t opener;

	job_init(&slow, NULL);
	job_init(&waiting, NULL);
	slow.gate = &gate;
	worker_submit(w, &slow.job);
	worker_submit(w, &waiting.job);
	while (!running)
		usleep(100);
	pthread_create(&opener, NULL, open_gate, &gate);
	worker_free(w);
	pthread_join(opener, NULL);
	CU_ASSERT_EQUAL(slow.runs, 1);
	CU_ASSERT_EQUAL(slow.dones, 1);
	CU_ASSERT_EQUAL(waiting.runs, 0);
	CU_ASSERT_EQUAL(waiting.dones, 1);
	loop_free(loop);
}

static void test_worker_free_completes_what_a_done_submits_meanwhile(void)
{
	struct worker *w = start(1);
	struct job j;

	job_init(&j, NULL);
	j.again = w;
	worker_submit(w, &j.job);
	while (!j.runs)
		usleep(100);
	worker_free(w);
	CU_ASSERT_EQUAL(j.runs, 1);
	CU_ASSERT_EQUAL(j.dones, 2);
	loop_free(loop);
}

static sigset_t thread_mask;

static void read_mask(struct worker_job *wj)
{
	(void)wj;
	pthread_sigmask(SIG_SETMASK, NULL, &thread_mask);
}

static void test_worker_threads_block_signals_and_the_loop_does_not(void)
{
	struct worker *w = start(1);
	sigset_t mine;
	struct job j;

	job_init(&j, NULL);
	j.job.run = read_mask;
	worker_submit(w, &j.job);
	run_until_done(&j, 1);
	CU_ASSERT(sigismember(&thread_mask, SIGTERM) && sigismember(&thread_mask, SIGCHLD));
	pthread_sigmask(SIG_SETMASK, NULL, &mine);
	CU_ASSERT_FALSE(sigismember(&mine, SIGTERM));
	end(w);
}

static void test_worker_without_jobs_lets_the_loop_sleep(void)
{
	struct worker *w = start(2);
	struct job j;
	int64_t begin;

	job_init(&j, NULL);
	worker_submit(w, &j.job);
	run_until_done(&j, 1);
	loop_run_once(loop, 0);
	begin = loop_now_ms(loop);
	loop_run_once(loop, 20);
	CU_ASSERT(loop_now_ms(loop) - begin >= 19);
	end(w);
	worker_free(NULL);
}

UNIT_MAIN("worker", UNIT(test_worker_runs_in_a_thread_and_is_done_in_the_loop),
	  UNIT(test_worker_job_may_be_submitted_again_by_its_done),
	  UNIT(test_worker_runs_jobs_of_one_key_in_order),
	  UNIT(test_worker_runs_other_jobs_while_one_is_slow),
	  UNIT(test_worker_runs_jobs_in_parallel),
	  UNIT(test_worker_free_waits_for_the_running_and_drops_the_waiting),
	  UNIT(test_worker_free_completes_what_a_done_submits_meanwhile),
	  UNIT(test_worker_threads_block_signals_and_the_loop_does_not),
	  UNIT(test_worker_without_jobs_lets_the_loop_sleep))
