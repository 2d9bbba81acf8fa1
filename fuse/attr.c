/* SPDX-License-Identifier: BSD-2-Clause */
/* Walking the attribute tables, and the kinds of files that need no code of their own. Called
 * by node.c for names, fsops.c and handle.c for contents, json.c for status.json. Control path:
 * allocates. */
#include "fuse/attr.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/error.h"
#include "base/text.h"
#include "core/daemon.h"
#include "core/event.h"
#include "fuse/json.h"

mode_t attr_format(const struct attr *row)
{
	switch (row->type) {
	case ATTR_DIR:
		return S_IFDIR;
	case ATTR_LINK:
		return S_IFLNK;
	default:
		return S_IFREG;
	}
}

const struct verb *attr_verbs(const struct attr *row, const struct object *o)
{
	return row->verbs ? row->verbs : daemon_verbs(o->kind);
}

bool attr_is_shown(const struct attr *row, const struct object *o)
{
	if (row->type == ATTR_CTL && !attr_verbs(row, o))
		return false;
	return !row->is_shown || row->is_shown(o);
}

static struct object *row_object(const struct attr *row, struct object *o)
{
	return row->object ? row->object(o) : o;
}

void attr_each(const struct attr_dir *dir, struct object *o, struct attr_sink *s)
{
	for (const struct attr *row = dir->attrs; row->name; row++)
		if (attr_is_shown(row, o) && !s->add(s, row->name, row, row_object(row, o)))
			return;
	if (dir->list)
		dir->list(o, dir->child, s);
}

/* --- finding --- */

struct finder {
	struct attr_sink sink;
	const char *name;
	struct object *found;
};

static bool finder_add(struct attr_sink *s, const char *name, const struct attr *row,
		       struct object *o)
{
	struct finder *f = container_of(s, struct finder, sink);

	(void)row;
	if (strcmp(name, f->name))
		return true;
	f->found = o;
	return false;
}

static struct object *find_child(const struct attr_dir *dir, struct object *o, const char *name)
{
	struct finder f = { .sink.add = finder_add, .name = name };

	if (dir->find)
		return dir->find(o, name);
	if (dir->list)
		dir->list(o, dir->child, &f.sink);
	return f.found;
}

bool attr_find(const struct attr_dir *dir, struct object *o, const char *name,
	       const struct attr **ret_row, struct object **ret_object)
{
	struct object *child;

	for (const struct attr *row = dir->attrs; row->name; row++)
		if (!strcmp(row->name, name)) {
			if (!attr_is_shown(row, o))
				return false;
			*ret_row = row;
			*ret_object = row_object(row, o);
			return true;
		}
	child = find_child(dir, o, name);
	if (!child)
		return false;
	*ret_row = dir->child;
	*ret_object = child;
	return true;
}

/* --- reading --- */

void attr_print(const struct attr_dir *dir, const struct attr *row, struct object *o,
		GString *out)
{
	switch (row->type) {
	case ATTR_VALUE:
	case ATTR_LINK:
		if (row->show)
			row->show(o, out);
		break;
	case ATTR_README:
		g_string_append(out, dir->readme);
		break;
	case ATTR_CTL:
		command_help(attr_verbs(row, o), out);
		break;
	case ATTR_ERROR:
		object_failures_print(o, out);
		break;
	case ATTR_STATUS:
		json_print(dir, o, out);
		break;
	case ATTR_EVENTS:
		event_print(container_of(o, struct daemon, obj)->events, out);
		break;
	case ATTR_EVENTS_PIPE:
	case ATTR_DISK:
	case ATTR_DIR:
	case ATTR_TYPES:
		break;
	}
}

void attr_place(const struct attr_dir *dir, const struct object *o, GString *out)
{
	if (dir->place)
		dir->place(o, out);
	else
		g_string_append(out, dir->name);
}

/* --- writing --- */

static void print_error(const struct attr_dir *dir, const struct object *o, const GError *err,
			GString *out)
{
	const struct error_info *info = error_info_of(err);
	g_autoptr(GString) place = g_string_new(NULL);

	attr_place(dir, o, place);
	g_string_append_printf(out, "error code=%s number=0x%08X errno=%s where=", info->name,
			       info->number, error_errno_name(error_errno(err)));
	operation_quote(out, place->str, false);
	g_string_append(out, " text=");
	operation_quote(out, err->message, true);
	g_string_append_c(out, '\n');
}

static gboolean store(const struct attr *row, struct object *o, char *value, size_t len,
		      GError **err)
{
	if (o->is_gone) {
		error_set_errno(err, ISDSC_NOT_FOUND, ENODEV, "no longer there");
		return FALSE;
	}
	if (!row->store) {
		error_set_errno(err, ISDSC_INVALID_PARAMETER, EACCES, "%s is read only",
				row->name);
		return FALSE;
	}
	if (strlen(value) != len) {
		error_set_errno(err, ISDSC_INVALID_PARAMETER, EINVAL, "NUL byte in the value");
		return FALSE;
	}
	return row->store(o, g_strstrip(value), err);
}

int attr_write(const struct attr_dir *dir, const struct attr *row, struct object *o,
	       const char *text, size_t len, GString *reply)
{
	g_autofree char *value = g_strndup(text, len);
	g_autofree char *what = NULL;
	g_autoptr(GError) err = NULL;
	bool is_secret = !(row->mode & 0444);

	/* g_strndup() stops at a NUL: store() compares with @len. */
	g_string_truncate(reply, 0);
	if (store(row, o, value, len, &err)) {
		if (is_secret)
			text_wipe(value, len);
		if (row->show)
			row->show(o, reply);
		return 0;
	}
	what = g_strdup_printf("%s=%s", row->name, is_secret ? "***" : value);
	if (is_secret)
		text_wipe(value, len);
	object_fail(o, what, err);
	print_error(dir, o, err, reply);
	return error_errno(err);
}

int attr_kept(const struct attr_dir *dir, const struct attr *row, struct object *o,
	      const GError *err, GString *reply)
{
	if (!err)
		return 0;
	object_fail(o, row->name, err);
	g_string_truncate(reply, 0);
	print_error(dir, o, err, reply);
	return script_errno(err);
}

/* --- for show functions --- */

/* UTF-8 of one line without anything that a terminal would obey. */
static bool is_plain(const char *text)
{
	if (!g_utf8_validate(text, -1, NULL))
		return false;
	for (; *text; text = g_utf8_next_char(text))
		if (g_unichar_iscntrl(g_utf8_get_char(text)))
			return false;
	return true;
}

void attr_print_text(GString *out, const char *text)
{
	g_autofree char *escaped = NULL;

	if (!text || !*text)
		text = "-";
	else if (!is_plain(text))
		text = escaped = text_escape(text, strlen(text), 1024);
	g_string_append_printf(out, "%s\n", text);
}

void attr_print_time(GString *out, int64_t time_us)
{
	time_t seconds = (time_t)(time_us / G_USEC_PER_SEC);
	char buf[32];
	struct tm tm;

	if (!time_us || !gmtime_r(&seconds, &tm) ||
	    !strftime(buf, sizeof(buf), "%Y-%m-%dT%H:%M:%SZ", &tm)) {
		g_string_append(out, "-\n");
		return;
	}
	g_string_append_printf(out, "%s\n", buf);
}

void attr_print_count(GString *out, const char *name, uint64_t value)
{
	g_string_append_printf(out, "%s %" G_GUINT64_FORMAT "\n", name, value);
}
