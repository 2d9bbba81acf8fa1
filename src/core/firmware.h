/* SPDX-License-Identifier: BSD-2-Clause */
/* Targets that the firmware of this host knows (ibft.h): where it booted from, mostly. The table is
 * read at start, at each refresh of everything, and by the verb `refresh` of discovery/firmware; in
 * a helper thread. Each target in it has the instance "firmware", with CHAP user and secrets from
 * the table, which goes before all others (B5). Users' guide: HBA Discovery.
 *
 *   state   true in it                                          next
 *   NEVER   not read yet                                        BUSY
 *   BUSY    a helper reads it: @reading                         NONE, OK, FAILED
 *   NONE    this host has none: no target has the instance      BUSY
 *   OK      targets are as it says                              BUSY
 *   FAILED  it cannot be used: what it said before stays        BUSY
 */
#ifndef ISCSIFS_FIRMWARE_H
#define ISCSIFS_FIRMWARE_H

#include "core/daemon.h"

#define INSTANCE_FIRMWARE_NAME "firmware"

enum firmware_state {
	FIRMWARE_NEVER,
	FIRMWARE_BUSY,
	FIRMWARE_NONE,
	FIRMWARE_OK,
	FIRMWARE_FAILED,
	FIRMWARE_STATES
};

struct firmware_job;

struct firmware {
	struct object obj; /* OBJECT_FIRMWARE */
	struct daemon *daemon;
	enum firmware_state state;
	/* What it said when it could be read last. */
	unsigned targets_found;
	char *initiator_name; /* NULL: nothing */
	GPtrArray *nics;      /* of char *, a line each */
	int64_t last_ok_us;   /* wall clock; 0: never */
	struct firmware_job *reading;
	/* Of struct operation *: they want to know what comes of @reading; what comes of the
	 * next one, which begins then. */
	GList *asking, *asking_next;
};

/* Begins to read it, in the background. Ends with firmware_gone(), before the worker does. */
struct firmware *firmware_new(struct daemon *d);
void firmware_gone(struct firmware *f);
/* While it is being read, it is read once more after that. Result: targets=N. */
void firmware_refresh(struct firmware *f, struct operation *op);
const char *firmware_state_name(const struct firmware *f); /* "never", "none", "ok" ... */
/* Is it in the table above? For the setter, and for the test that walks it. */
bool firmware_state_may(enum firmware_state from, enum firmware_state to);

extern const struct verb firmware_verbs[];

#endif
