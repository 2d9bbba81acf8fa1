/* SPDX-License-Identifier: BSD-2-Clause */
/* What open files say: texts made at open, counted, and the long ones shared. A text is a
 * GBytes; whoever has the file open holds a reference. Long status.json files are costly to
 * make and are asked for by many: such a text is kept for a second, or until something changes,
 * and everyone who opens the file meanwhile gets the same one. */
#ifndef ISCSIFS_TEXTS_H
#define ISCSIFS_TEXTS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"

#define TEXTS_BYTES_MAX (64 * 1024 * 1024) /* in all; one text may go over it */
#define TEXTS_LONG_BYTES (64 * 1024)	   /* worth keeping */
#define TEXTS_KEEP_MS 1000

struct texts {
	GHashTable *kept; /* inode number -> GBytes * */
	struct loop_timer timer;
	size_t bytes; /* of all texts that somebody holds */
};

void texts_init(struct texts *t, struct loop *l);
/* Nobody holds a text any more. Harmless on a zeroed one. */
void texts_done(struct texts *t);

/* So much is held that no more files should be opened. */
bool texts_is_full(const struct texts *t);
/* Takes @s. The reference is the caller's: g_bytes_unref(). */
GBytes *texts_new(struct texts *t, GString *s);
/* The text kept for the file of inode number @ino, a reference; or NULL. */
GBytes *texts_find(struct texts *t, uint64_t ino);
/* Keep @text for that file, if it is long. */
void texts_keep(struct texts *t, uint64_t ino, GBytes *text);
/* A command has ended or a value was written: what was kept may no longer be true. */
void texts_forget(struct texts *t);

#endif
