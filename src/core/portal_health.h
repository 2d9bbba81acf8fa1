/* SPDX-License-Identifier: BSD-2-Clause */
/* What is known of portals, by canonical name ("10.0.0.5:3260"), whoever met them: a dial for a
 * login, for a discovery, for a session that is being brought back. One that failed lately is
 * tried last by all; one that answers again wakes all who wait for it. One of these a daemon.
 *
 *   a portal is   true of it
 *   (unknown)     no failure within PORTAL_HEALTH_MS: nothing is kept of it
 *   dead          failed to connect or to finish a login less than PORTAL_HEALTH_MS ago
 */
#ifndef ISCSIFS_PORTAL_HEALTH_H
#define ISCSIFS_PORTAL_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"

#define PORTAL_HEALTH_MS 60000
#define PORTAL_HEALTH_MAX 4096 /* portals remembered */

struct portal_health;

struct portal_health *portal_health_new(struct loop *l);
/* Nobody may watch any more. NULL is fine. */
void portal_health_free(struct portal_health *h);

void portal_health_failed(struct portal_health *h, const char *portal);
/* It did what was asked of it: the failures are forgotten, and the watches told, at once. */
void portal_health_ok(struct portal_health *h, const char *portal);
/* Failed lately. */
bool portal_health_is_dead(const struct portal_health *h, const char *portal);
/* How often since it last worked, and when last (loop time); 0: unknown. */
unsigned portal_health_failures(const struct portal_health *h, const char *portal,
				int64_t *ret_last_us);

/* Someone who waits, embedded. answered() may only take note: it must not watch or unwatch,
 * dial, or free. */
struct portal_watch {
	struct list link;
	void (*answered)(struct portal_watch *w, const char *portal);
};
void portal_watch_init(struct portal_watch *w,
		       void (*answered)(struct portal_watch *w, const char *portal));
void portal_watch_start(struct portal_health *h, struct portal_watch *w);
/* Idempotent. */
void portal_watch_stop(struct portal_watch *w);

#endif
