/* SPDX-License-Identifier: BSD-2-Clause */
/* mlockall, PR_SET_IO_FLUSHER, the OOM score and SCHED_BATCH; harden.h says why. */
#include "fuse/harden.h"

#include <errno.h>
#include <linux/prctl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"

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
	else if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0)
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
	if (lock_memory)
		lock_all();
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) < 0)
		log_debug("not an I/O flusher: %s", strerror(errno));
	protect_from_oom();
}
