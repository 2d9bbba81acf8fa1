/* SPDX-License-Identifier: BSD-2-Clause */
/* What every thing that shows in the tree has in common: a reference count, an id never used
 * twice in a run, whether it is gone, and its last failures.
 *
 * Owners hold one reference and give it back with object_gone(): that marks the object, so that
 * a tree node, an open file or an operation that still holds a reference sees is_gone and
 * answers ENODEV/ESTALE. The memory goes at the end of the loop turn in which the last
 * reference went, so no callback of this turn sees freed memory. */
#ifndef ISCSIFS_OBJECT_H
#define ISCSIFS_OBJECT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"

enum object_kind {
	OBJECT_DAEMON,
	OBJECT_INITIATOR,
	OBJECT_DISCOVERY,
	OBJECT_PORTAL,
	OBJECT_ISNS,
	OBJECT_TARGET,
	OBJECT_INSTANCE,
	OBJECT_SESSION,
	OBJECT_CONN,
	OBJECT_LUN,
	OBJECT_PATH,
	OBJECT_PERSISTENT,
	OBJECT_LOGIN,
	OBJECT_VOLUME,
	OBJECT_INITIATOR_INSTANCE,
	OBJECT_FIRMWARE,
	OBJECT_KINDS
};

#define OBJECT_FAILURES 16

/* One entry of an `error` file. */
struct failure {
	int64_t time_us; /* wall clock */
	char *what;	 /* the command (secrets blanked) or the I/O */
	char *text;	 /* what went wrong */
	int code;	 /* enum isdsc */
	int errno_value; /* positive */
};

struct object {
	struct loop *loop;
	struct loop_reap reap;
	enum object_kind kind;
	unsigned refs;
	bool is_gone;
	uint64_t id; /* unique in this process; tree nodes are known by it */
	void (*free)(struct object *o);
	struct failure *failures[OBJECT_FAILURES]; /* newest first */
	uint64_t failures_total;
};

/* One reference, the caller's. @free is called once, with the failures already freed by
 * object_done() -- which @free must call first. */
void object_init(struct object *o, struct loop *l, enum object_kind kind,
		 void (*free)(struct object *));
void object_done(struct object *o);
struct object *object_ref(struct object *o);
void object_unref(struct object *o); /* NULL is fine */
/* The owner lets go: marks it gone and drops the owner's reference. */
void object_gone(struct object *o);

/* Remember a failure. @what is copied and must hold no secret. */
void object_fail(struct object *o, const char *what, const GError *err);
/* Same for the data path, which has no GError; allocates, so for the slow path of an I/O only.
 */
void object_fail_text(struct object *o, const char *what, int code, int errno_value,
		      const char *text);
/* The text of the `error` file: newest first, one block of lines an entry with time, command,
 * error and advice. */
void object_failures_print(const struct object *o, GString *out);

#endif
