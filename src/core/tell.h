/* SPDX-License-Identifier: BSD-2-Clause */
/* What a unit tells of itself (scsi/describe.h) as the reply of an operation: words
 * "key=value", or one line of JSON. As words a list of values is "key=a,b,c"; the records of a
 * list are "key.1.field=value", and "key=N" after them says how many. */
#ifndef ISCSIFS_TELL_H
#define ISCSIFS_TELL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/operation.h"
#include "scsi/describe.h"

struct tell;

/* Borrows @op, to which words go at once. */
struct tell *tell_new(struct operation *op, bool is_json);
/* To be given to describe_...(); tell_number() and the others put a field of their own. */
struct describe_sink *tell_sink(struct tell *t);
void tell_number(struct tell *t, const char *name, uint64_t number);
void tell_hex(struct tell *t, const char *name, uint64_t number);
void tell_text(struct tell *t, const char *name, const char *text);
void tell_bytes(struct tell *t, const char *name, const uint8_t *bytes, size_t len);
/* All has been told: the JSON is the operation's reply. Frees @t. */
void tell_end(struct tell *t);
/* It failed: nothing more is told. Frees @t. */
void tell_drop(struct tell *t);

#endif
