/* SPDX-License-Identifier: BSD-2-Clause */
/* The helper thread, for what can block: getaddrinfo, fsync and rename of state, kernel
 * notifications. A job's run() is called in one of the helper's threads and must touch nothing
 * but the job; done() is called in the loop thread, exactly once, never before submit returned.
 * Jobs may run in parallel (a few threads, so that one slow name server does not hold up the
 * state files); jobs of one queue key run in order. */
#ifndef ISCSIFS_WORKER_H
#define ISCSIFS_WORKER_H

#include "base/list.h"

struct loop;
struct worker;

struct worker_job {
	struct list link; /* private */
	const void *order; /* jobs with the same non-NULL key run one after the other */
	void (*run)(struct worker_job *job);
	void (*done)(struct worker_job *job);
};

/* Starts @threads threads with all signals blocked. NULL with errno. */
struct worker *worker_new(struct loop *l, unsigned threads);
/* Waits for the running jobs, runs done() of all finished ones; jobs not started get done()
 * without run(), those that a done() submits meanwhile too. Then the threads end. Not from a
 * done(). NULL is fine. */
void worker_free(struct worker *w);
/* From the loop thread. Takes @job until its done() runs, which may free or submit it again. */
void worker_submit(struct worker *w, struct worker_job *job);

#endif
