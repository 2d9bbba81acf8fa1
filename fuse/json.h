/* SPDX-License-Identifier: BSD-2-Clause */
/* status.json: everything of a directory and of what is below it, from the same tables that the
 * files come from. A value file is a member of its name, a directory an object, a link a
 * string; `error` is an array, newest first. What is not there ("-") is null. Of what there may
 * be very many (struct attr_dir's brief) only the status.json of its own tells everything. */
#ifndef ISCSIFS_JSON_H
#define ISCSIFS_JSON_H

#include <glib.h>

struct attr_dir;
struct object;

/* Append the JSON text of @dir of @o and a newline. */
void json_print(const struct attr_dir *dir, struct object *o, GString *out);

#endif
