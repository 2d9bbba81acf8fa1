/* SPDX-License-Identifier: BSD-2-Clause */
/* mlockall, PR_SET_IO_FLUSHER, the OOM score and SCHED_BATCH; harden.h says why. */
#include "fuse/harden.h"

#include <errno.h>
#include <linux/prctl.h>
#include <malloc.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "base/pool.h"

/* In bytes: of the heap and the stack, in memory from the start. */
#define HEAP_BYTES (2 * 1024 * 1024)
#define STACK_BYTES (256 * 1024)

/* The loop thread must not touch memory for the first time while it is short (pool.h). Requests of
 * disks take theirs from pools; this is for the little that goes on besides. */
static void touch_stack(void)
{
	volatile char room[STACK_BYTES];

	for (size_t i = 0; i < sizeof(room); i += 1024)
		room[i] = 0;
}

static void touch_heap(void)
{
	char *p;

	mallopt(M_MMAP_THRESHOLD, 2 * HEAP_BYTES); /* from the heap, not each by a mapping */
	mallopt(M_TRIM_THRESHOLD, 4 * HEAP_BYTES); /* and it stays */
	p = malloc(HEAP_BYTES);
	if (p)
		pool_touch(p, HEAP_BYTES);
	free(p);
}

/* With a limit, MCL_FUTURE would make a later mmap() fail, a thread's stack for instance. */
static bool may_lock_all(void)
{
	struct rlimit limit;

	if (geteuid() == 0)
		return true;
	return getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY;
}

static void lock_all(void)
{
	if (!may_lock_all())
		log_debug("memory is not locked: RLIMIT_MEMLOCK");
	else if (mlockall(MCL_CURRENT) < 0 || /* brings in what there is, the program too */
		 mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0)
		log_debug("memory is not locked: %s", strerror(errno));
}

static void protect_from_oom(void)
{
	FILE *f = fopen("/proc/self/oom_score_adj", "we");
	bool is_done = f && fputs("-1000\n", f) >= 0;

	if (f && fclose(f) != 0)
		is_done = false;
	if (!is_done)
		log_debug("OOM score not set: %s", strerror(errno));
}

static void schedule_in_batches(void)
{
	struct sched_param param = { 0 };

	if (sched_setscheduler(0, SCHED_BATCH, &param) < 0)
		log_debug("not scheduled in batches: %s", strerror(errno));
}

void harden_process(bool lock_memory)
{
	schedule_in_batches();
	touch_stack();
	touch_heap();
	if (lock_memory)
		lock_all();
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) < 0)
		log_debug("not an I/O flusher: %s", strerror(errno));
	protect_from_oom();
}
