/* SPDX-License-Identifier: BSD-2-Clause */
/* The tables that the tree is made of. A directory is a struct attr_dir: rows of what is always
 * in it (struct attr: name, kind, mode, show, store, what it tells), and a function that lists
 * what comes and goes with the objects. Names, modes, texts, status.json and inode numbers all
 * come from these tables; nothing else knows a file name.
 *
 * A file of the tree is a pair (object, row): the row says what to do, the object with what.
 * Rows are constants with an address of their own; several rows may belong to one object. */
#ifndef ISCSIFS_ATTR_H
#define ISCSIFS_ATTR_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/object.h"

enum attr_type {
	ATTR_VALUE,  /* show(), perhaps store() */
	ATTR_README, /* the directory's text */
	ATTR_CTL,    /* verbs: attr_verbs() */
	ATTR_ERROR,  /* the object's last failures */
	ATTR_STATUS, /* everything of the directory as JSON */
	ATTR_EVENTS,	  /* of the daemon: event_file.h */
	ATTR_EVENTS_PIPE, /* the same: reading waits for the next */
	ATTR_DISK,   /* the data of a lun: blkio.h */
	ATTR_DIR,
	ATTR_LINK, /* show() gives where to, without a newline */
	ATTR_TYPES
};

/* What status.json makes of the text that show() gives; "-" becomes null. */
enum attr_json {
	ATTR_JSON_TEXT,	  /* a string */
	ATTR_JSON_NUMBER, /* a number */
	ATTR_JSON_LINES,  /* an array of strings */
	ATTR_JSON_PAIRS,  /* lines "name value": an object; numbers where they are */
	ATTR_JSON_PARAMS, /* lines "KEY REQUESTED NEGOTIATED": an object of objects */
};

struct attr_dir;
struct operation;
struct verb;

struct attr {
	const char *name; /* NULL ends a table */
	enum attr_type type;
	mode_t mode; /* permission bits before the umask */
	enum attr_json json;
	void (*show)(struct object *o, GString *out);
	/* @value has no blanks around it. FALSE and @err: nothing has changed. */
	gboolean (*store)(struct object *o, const char *value, GError **err);
	/* store() worked: the write ends when @op does, since what was set is being saved (takes a
	 * reference to keep @op). NULL: at once. */
	void (*keep)(struct object *o, struct operation *op);
	/* ATTR_CTL: NULL: the verbs of the object's kind. */
	const struct verb *verbs;
	/* ATTR_CTL: what reading it tells when it is opened for that only, and takes time: appends
	 * it to op->result and calls operation_finish(), now or later (takes a reference to keep
	 * @op). NULL: reading tells the verbs. */
	void (*fetch)(struct object *o, struct operation *op);
	bool (*is_shown)(const struct object *o);  /* NULL: always */
	struct object *(*object)(struct object *o); /* ATTR_DIR: whose directory; NULL: same */
	const struct attr_dir *dir;		   /* ATTR_DIR */
	/* For whoever runs the daemon alone: @mode and owner are so whatever the mount options
	 * uid=, gid= and umask= say. */
	bool is_owners;
	bool is_json; /* ATTR_EVENTS, ATTR_EVENTS_PIPE: a JSON object a line */
};

/* Told of one entry after the other. */
struct attr_sink {
	/* @o is borrowed. False: enough. */
	bool (*add)(struct attr_sink *s, const char *name, const struct attr *row,
		    struct object *o);
};

struct attr_dir {
	const char *name;   /* "targets/IQN": how the man page calls it */
	const char *readme;
	const struct attr *attrs;
	/* What comes and goes: children of one sort, under the row @child, whose name counts
	 * for nothing. Returns what @s answered last. NULL: there are none. */
	bool (*list)(struct object *o, const struct attr *child, struct attr_sink *s);
	const struct attr *child;
	/* The child of that name (borrowed) or NULL: where listing them all would be slow. */
	struct object *(*find)(struct object *o, const char *name);
	/* There may be tens of thousands of these, of which little can be told: the status.json
	 * of a directory above has only this value of @o. NULL: it has everything. A function
	 * that is not there means the same. */
	const char *(*brief)(const struct object *o);
	/* "targets/iqn.x", as error replies say it; NULL: @name will do. */
	void (*place)(const struct object *o, GString *out);
};

/* Rows that most directories have. */
#define ATTR_README_ROW { "README", ATTR_README, .mode = 0444 }
#define ATTR_CTL_ROW { "ctl", ATTR_CTL, .mode = 0644 }
#define ATTR_ERROR_ROW { "error", ATTR_ERROR, .mode = 0444 }
#define ATTR_STATUS_ROW { "status.json", ATTR_STATUS, .mode = 0444 }
#define ATTR_DIR_ROW(name_, dir_) { name_, ATTR_DIR, .mode = 0555, .dir = &(dir_) }
#define ATTR_FILE(name_, json_, show_) \
	{ name_, ATTR_VALUE, .mode = 0444, .json = json_, .show = show_ }
#define ATTR_SETTING(name_, json_, show_, store_) \
	{ name_, ATTR_VALUE, .mode = 0644, .json = json_, .show = show_, .store = store_ }

/* Of a control file; NULL: there are none. */
const struct verb *attr_verbs(const struct attr *row, const struct object *o);
/* S_IFDIR, S_IFREG or S_IFLNK. */
mode_t attr_format(const struct attr *row);
/* Is @row in the directory of @o? */
bool attr_is_shown(const struct attr *row, const struct object *o);
/* Every entry of @dir of @o but "." and "..". */
void attr_each(const struct attr_dir *dir, struct object *o, struct attr_sink *s);
/* The entry @name; false when there is none. *ret_object is borrowed. */
bool attr_find(const struct attr_dir *dir, struct object *o, const char *name,
	       const struct attr **ret_row, struct object **ret_object);
/* What reading the file gives, appended to @out. @dir: the directory that it is in. */
void attr_print(const struct attr_dir *dir, const struct attr *row, struct object *o,
		GString *out);
/* Write a value file: 0, or a positive errno, remembered in the object's `error`. Either way
 * @reply becomes what reading the same descriptor tells then: the value, or an "error code=..."
 * line. */
int attr_write(const struct attr_dir *dir, const struct attr *row, struct object *o,
	       const char *text, size_t len, GString *reply);
/* The same for what became of row->keep(): @err or NULL. @reply is left alone without one. */
int attr_kept(const struct attr_dir *dir, const struct attr *row, struct object *o,
	      const GError *err, GString *reply);
/* "targets/iqn.x": where the directory of @o is. */
void attr_place(const struct attr_dir *dir, const struct object *o, GString *out);

/* --- for show functions --- */
/* @text and a newline; "-" for NULL or "". What is not clean UTF-8 of one line is escaped. */
void attr_print_text(GString *out, const char *text);
/* Wall clock as ISO 8601 in UTC; "-" for 0. */
void attr_print_time(GString *out, int64_t time_us);
/* A line "name value". */
void attr_print_count(GString *out, const char *name, uint64_t value);

#endif
