/* SPDX-License-Identifier: BSD-2-Clause */
/* The signals of who waits in a request; interrupt.h says why. proc(5): SigPnd are pending for
 * the thread, ShdPnd for the process, SigBlk those it keeps away, SigCgt those it catches; bit
 * N-1 of the hexadecimal mask is signal N. One that is fatal and not caught is turned into
 * SIGKILL by the kernel at once, but for those that dump core. */
#include "fuse/interrupt.h"

#include <glib.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BIT(signal) ((uint64_t)1 << ((signal)-1))

static const uint64_t asking =
	BIT(SIGINT) | BIT(SIGTERM) | BIT(SIGHUP) | BIT(SIGQUIT) | BIT(SIGALRM);
/* What ends nobody who does not catch it: signal(7). */
static const uint64_t harmless = BIT(SIGCHLD) | BIT(SIGCONT) | BIT(SIGURG) | BIT(SIGWINCH) |
				 BIT(SIGSTOP) | BIT(SIGTSTP) | BIT(SIGTTIN) | BIT(SIGTTOU);

static uint64_t mask_of(const char *status, const char *name)
{
	const char *line = strstr(status, name);

	return line ? strtoull(line + strlen(name), NULL, 16) : 0;
}

enum interrupt_kind interrupt_judge(const char *status)
{
	uint64_t pending, caught;

	if (!status)
		return INTERRUPT_KILLED;
	pending = mask_of(status, "\nSigPnd:") | mask_of(status, "\nShdPnd:");
	caught = mask_of(status, "\nSigCgt:");
	if (pending & BIT(SIGKILL))
		return INTERRUPT_KILLED;
	pending &= ~mask_of(status, "\nSigBlk:") & ~mask_of(status, "\nSigIgn:");
	if (pending & ~caught & ~harmless)
		return INTERRUPT_KILLED;
	if (pending & asking)
		return INTERRUPT_ASKED;
	return pending & caught ? INTERRUPT_CAUGHT : INTERRUPT_NONE;
}

static bool is_meant(const struct interrupt *i)
{
	g_autofree char *path = g_strdup_printf("/proc/%d/status", (int)i->thread);
	g_autofree char *status = NULL;

	if (i->thread)
		g_file_get_contents(path, &status, NULL, NULL);
	return interrupt_judge(status) >= i->needs;
}

/* meant() may forget others too, so the list is begun again after each. */
static struct interrupt *find_meant(struct interrupt_watch *w)
{
	list_for_each (link, &w->waiting) {
		struct interrupt *i = list_entry(link, struct interrupt, link);

		if (is_meant(i))
			return i;
	}
	return NULL;
}

static void on_look(struct loop_timer *t)
{
	struct interrupt_watch *w = container_of(t, struct interrupt_watch, timer);
	struct interrupt *i;

	while ((i = find_meant(w))) {
		interrupt_forget(i);
		i->meant(i);
	}
	if (!list_is_empty(&w->waiting))
		loop_timer_start(t, INTERRUPT_LOOK_MS);
}

void interrupt_watch_init(struct interrupt_watch *w, struct loop *l)
{
	list_init(&w->waiting);
	loop_timer_init(l, &w->timer, on_look);
}

void interrupt_watch_done(struct interrupt_watch *w)
{
	if (w->timer.loop)
		loop_timer_done(&w->timer);
}

void interrupt_init(struct interrupt *i, pid_t thread, enum interrupt_kind needs,
		    void (*meant)(struct interrupt *i))
{
	list_init(&i->link);
	i->thread = thread;
	i->needs = needs;
	i->meant = meant;
}

void interrupt_came(struct interrupt_watch *w, struct interrupt *i)
{
	interrupt_forget(i);
	if (is_meant(i)) {
		i->meant(i);
		return;
	}
	list_push_tail(&w->waiting, &i->link);
	if (!loop_timer_is_running(&w->timer))
		loop_timer_start(&w->timer, INTERRUPT_LOOK_MS);
}

void interrupt_forget(struct interrupt *i)
{
	list_remove(&i->link);
}
