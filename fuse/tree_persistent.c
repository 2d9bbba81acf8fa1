/* SPDX-License-Identifier: BSD-2-Clause */
/* persistent/: logins that are done at each start, and volumes that it waits for. */
#include "fuse/tree.h"

#include "base/text.h"
#include "core/logins.h"
#include "core/persistent.h"
#include "core/volumes.h"

#define PERSISTENT(o) container_of(o, struct persistent, obj)
#define LOGIN(o) container_of(o, struct saved_login, obj)
#define VOLUME(o) container_of(o, struct volume, obj)

/* --- logins/NAME/ --- */

static void show_login_state(struct object *o, GString *out)
{
	attr_print_text(out, saved_login_state_name(LOGIN(o)));
}

static void show_attempts(struct object *o, GString *out)
{
	g_string_append_printf(out, "%u\n", LOGIN(o)->attempts);
}

static void show_next_try(struct object *o, GString *out)
{
	attr_print_time(out, LOGIN(o)->state == LOGIN_WAITING ? LOGIN(o)->next_try_us : 0);
}

static void show_target(struct object *o, GString *out)
{
	attr_print_text(out, LOGIN(o)->target);
}

static void show_portals(struct object *o, GString *out)
{
	for (guint i = 0; i < LOGIN(o)->portals->len; i++)
		attr_print_text(out, LOGIN(o)->portals->pdata[i]);
}

static void show_login_options(struct object *o, GString *out)
{
	tree_print_options(&LOGIN(o)->options, out);
}

static const struct attr login_attrs[] = {
	ATTR_README_ROW,
	ATTR_CTL_ROW,
	ATTR_ERROR_ROW,
	ATTR_STATUS_ROW,
	ATTR_FILE("state", ATTR_JSON_TEXT, show_login_state),
	ATTR_FILE("attempts", ATTR_JSON_NUMBER, show_attempts),
	ATTR_FILE("next_try", ATTR_JSON_TEXT, show_next_try),
	ATTR_FILE("target", ATTR_JSON_TEXT, show_target),
	ATTR_FILE("portals", ATTR_JSON_LINES, show_portals),
	ATTR_FILE("options", ATTR_JSON_PAIRS, show_login_options),
	{ 0 },
};

static void place_login(const struct object *o, GString *out)
{
	g_string_append_printf(out, "persistent/logins/%s", LOGIN(o)->name);
}

static const struct attr_dir login_dir = {
	.name = "persistent/logins/NAME",
	.attrs = login_attrs,
	.place = place_login,
	.readme =
		"A login that is done at each start.\n"
		"\n"
		"state     saved, waiting, trying, logged-in, logged-out\n"
		"attempts  since the daemon began\n"
		"next_try  when it is tried again, while it waits\n"
		"target    its name\n"
		"portals   where it was when the login was saved\n"
		"options   what was given\n"
		"\n"
		"	echo login > ctl\n"
		"	echo remove > ctl\n",
};

static const struct attr login_row = { "NAME", ATTR_DIR, .mode = 0555, .dir = &login_dir };

static bool list_logins(struct object *o, const struct attr *child, struct attr_sink *s)
{
	for (GList *l = logins_all(PERSISTENT(o)->daemon->logins); l; l = l->next) {
		struct saved_login *x = l->data;

		if (!s->add(s, x->name, child, &x->obj))
			return false;
	}
	return true;
}

/* A row belongs to one file of an object: two tables. */
static const struct attr logins_attrs[] = { ATTR_README_ROW, { 0 } };
static const struct attr volumes_attrs[] = { ATTR_README_ROW, { 0 } };

static const struct attr_dir logins_dir = {
	.name = "persistent/logins",
	.attrs = logins_attrs,
	.list = list_logins,
	.child = &login_row,
	.readme =
		"A directory for each login that is done at each start.\n"
		"\n"
		"	echo login persist=yes > ../../targets/IQN/ctl\n",
};

/* --- volumes/NAME/ --- */

static void show_volume_state(struct object *o, GString *out)
{
	attr_print_text(out, volume_is_ready(VOLUME(o)) ? "ready" : "missing");
}

static void show_kind(struct object *o, GString *out)
{
	attr_print_text(out, volume_kind_name(VOLUME(o)->kind));
}

static void show_path(struct object *o, GString *out)
{
	attr_print_text(out, VOLUME(o)->path);
}

static void show_luns(struct object *o, GString *out)
{
	const struct volume *v = VOLUME(o);

	for (guint i = 0; i < v->luns->len; i++) {
		const struct volume_lun *l = v->luns->pdata[i];
		g_autofree char *wwid = text_escape(l->wwid, strlen(l->wwid), 256);

		g_string_append_printf(out, "%s/lun%u %s%s %s\n", l->target, l->number,
				       volume_lun_is_there(v, l) ? "ready" : "missing",
				       l->is_block ? " block" : "", *wwid ? wwid : "-");
	}
}

static const struct attr volume_attrs[] = {
	ATTR_README_ROW,
	ATTR_CTL_ROW,
	ATTR_ERROR_ROW,
	ATTR_STATUS_ROW,
	ATTR_FILE("state", ATTR_JSON_TEXT, show_volume_state),
	ATTR_FILE("kind", ATTR_JSON_TEXT, show_kind),
	ATTR_FILE("path", ATTR_JSON_TEXT, show_path),
	ATTR_FILE("luns", ATTR_JSON_LINES, show_luns),
	{ 0 },
};

static void place_volume(const struct object *o, GString *out)
{
	g_string_append_printf(out, "persistent/volumes/%s", VOLUME(o)->name);
}

static const struct attr_dir volume_dir = {
	.name = "persistent/volumes/NAME",
	.attrs = volume_attrs,
	.place = place_volume,
	.readme =
		"A volume that each start waits for.\n"
		"\n"
		"state  ready: all its LUNs are there; or missing\n"
		"kind   mount, device or lun\n"
		"path   where it is\n"
		"luns   what it rests on, a line each: TARGET/lunN, ready or missing, block if\n"
		"       it needs the loop device, worldwide name\n"
		"\n"
		"	echo remove > ctl\n",
};

static const struct attr volume_row = { "NAME", ATTR_DIR, .mode = 0555, .dir = &volume_dir };

static bool list_volumes(struct object *o, const struct attr *child, struct attr_sink *s)
{
	for (GList *l = volumes_all(PERSISTENT(o)->daemon->volumes); l; l = l->next) {
		struct volume *v = l->data;

		if (!s->add(s, v->name, child, &v->obj))
			return false;
	}
	return true;
}

static const struct attr_dir volumes_dir = {
	.name = "persistent/volumes",
	.attrs = volumes_attrs,
	.list = list_volumes,
	.child = &volume_row,
	.readme =
		"A directory for each volume that a start waits for.\n"
		"\n"
		"	echo bind > ../ctl\n"
		"	echo 'add-volume /mnt/data' > ../ctl\n",
};

/* --- persistent/ --- */

static void show_ready(struct object *o, GString *out)
{
	attr_print_text(out, PERSISTENT(o)->is_ready ? "yes" : "no");
}

static const struct attr persistent_attrs[] = {
	ATTR_README_ROW,
	ATTR_CTL_ROW,
	ATTR_ERROR_ROW,
	ATTR_STATUS_ROW,
	ATTR_FILE("ready", ATTR_JSON_TEXT, show_ready),
	ATTR_DIR_ROW("logins", logins_dir),
	ATTR_DIR_ROW("volumes", volumes_dir),
	{ 0 },
};

const struct attr_dir tree_persistent_dir = {
	.name = "persistent",
	.attrs = persistent_attrs,
	.readme =
		"What is done at each start, and waited for.\n"
		"\n"
		"logins/   targets that are logged in to\n"
		"volumes/  what has to be there before the daemon says that it is ready\n"
		"ready     has it said so?\n"
		"\n"
		"	echo 'add-login iqn.2003-01.org.example:disk1' > ctl\n"
		"	echo bind > ctl\n",
};
