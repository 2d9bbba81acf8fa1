/* SPDX-License-Identifier: BSD-2-Clause */
/* targets/: a directory for each target, and in it what each discovery mechanism knows of it.
 * Its sessions and LUNs are in tree_session.c and tree_lun.c. */
#include "fuse/tree.h"

#include "base/text.h"
#include "core/target.h"

#define DAEMON(o) container_of(o, struct daemon, obj)
#define TARGET(o) container_of(o, struct target, obj)
#define INSTANCE(o) container_of(o, struct instance, obj)

/* --- instances/MECHANISM/ --- */

void tree_print_options(const struct login_options *o, GString *out)
{
	for (const struct command_key *k = login_keys; k->name; k++) {
		const char *value = login_option(o, k->name);

		if (!value)
			continue;
		g_string_append_printf(out, "%s ", k->name);
		attr_print_text(out, k->is_secret ? "***" : value);
	}
}

void tree_print_portals(const struct instance *i, GString *out)
{
	for (guint n = 0; n < i->portals->len; n++) {
		const struct target_portal *p =
			&g_array_index(i->portals, struct target_portal, n);
		g_autofree char *text = text_format_portal(p->host, p->port);

		if (p->tpgt >= 0)
			g_string_append_printf(out, "%s,%d\n", text, p->tpgt);
		else
			g_string_append_printf(out, "%s\n", text);
	}
}

static void show_mechanism(struct object *o, GString *out)
{
	attr_print_text(out, INSTANCE(o)->mechanism);
}

static void show_priority(struct object *o, GString *out)
{
	g_string_append_printf(out, "%u\n", INSTANCE(o)->priority);
}

static void show_portals(struct object *o, GString *out)
{
	tree_print_portals(INSTANCE(o), out);
}

static void show_options(struct object *o, GString *out)
{
	tree_print_options(&INSTANCE(o)->options, out);
}

static const struct attr instance_attrs[] = {
	ATTR_README_ROW,
	ATTR_ERROR_ROW,
	ATTR_STATUS_ROW,
	ATTR_FILE("mechanism", ATTR_JSON_TEXT, show_mechanism),
	ATTR_FILE("priority", ATTR_JSON_NUMBER, show_priority),
	ATTR_FILE("portals", ATTR_JSON_LINES, show_portals),
	ATTR_FILE("options", ATTR_JSON_PAIRS, show_options),
	{ 0 },
};

static const struct attr_dir instance_dir = {
	.name = "targets/IQN/instances/MECHANISM",
	.attrs = instance_attrs,
	.readme =
		"What one discovery mechanism knows of this target.\n"
		"\n"
		"mechanism  who told us: firmware, sendtargets:ADDR:PORT, isns:ADDR:PORT,\n"
		"           static or persistent\n"
		"priority   lower wins when a login names no mechanism=\n"
		"portals    where the target is, a line each\n"
		"options    login options that come with it\n"
		"\n"
		"	cat portals\n",
};

static const struct attr instance_row = {
	"MECHANISM", ATTR_DIR, .mode = 0555, .dir = &instance_dir
};

static bool list_instances(struct object *o, const struct attr *child, struct attr_sink *s)
{
	for (GList *l = TARGET(o)->instances; l; l = l->next) {
		struct instance *i = l->data;

		if (!s->add(s, i->mechanism, child, &i->obj))
			return false;
	}
	return true;
}

static const struct attr instances_attrs[] = { ATTR_README_ROW, { 0 } };

static const struct attr_dir instances_dir = {
	.name = "targets/IQN/instances",
	.attrs = instances_attrs,
	.list = list_instances,
	.child = &instance_row,
	.readme =
		"A directory for each discovery mechanism that knows this target.\n"
		"\n"
		"	cat */portals\n",
};

/* --- targets/IQN/ --- */

static void show_state(struct object *o, GString *out)
{
	attr_print_text(out, target_state_name(TARGET(o)));
}

static void show_alias(struct object *o, GString *out)
{
	attr_print_text(out, target_alias(TARGET(o)));
}

static const struct attr target_attrs[] = {
	ATTR_README_ROW,
	ATTR_CTL_ROW,
	ATTR_ERROR_ROW,
	ATTR_STATUS_ROW,
	ATTR_FILE("state", ATTR_JSON_TEXT, show_state),
	ATTR_FILE("alias", ATTR_JSON_TEXT, show_alias),
	ATTR_DIR_ROW("instances", instances_dir),
	ATTR_DIR_ROW("sessions", tree_sessions_dir),
	{ 0 },
};

static const struct attr lun_row = { "lunN", ATTR_DIR, .mode = 0555, .dir = &tree_lun_dir };

static bool list_luns(struct object *o, const struct attr *child, struct attr_sink *s)
{
	for (GList *l = TARGET(o)->luns; l; l = l->next) {
		struct lun *lun = l->data;
		char name[sizeof("lun4294967295")];

		g_snprintf(name, sizeof(name), "lun%u", (unsigned)lun->number);
		if (!s->add(s, name, child, &lun->obj))
			return false;
	}
	return true;
}

/* Merely discovered: everything that could be told is in its own status.json. */
static const char *brief_target(const struct object *o)
{
	const struct target *t = container_of(o, const struct target, obj);

	return t->nexuses || t->logging_in ? NULL : "state";
}

static void place_target(const struct object *o, GString *out)
{
	g_string_append_printf(out, "targets/%s", TARGET(o)->name);
}

static const struct attr_dir target_dir = {
	.name = "targets/IQN",
	.attrs = target_attrs,
	.list = list_luns,
	.child = &lun_row,
	.place = place_target,
	.brief = brief_target,
	.readme =
		"A target.\n"
		"\n"
		"state       discovered, logged in ...\n"
		"alias       what it calls itself\n"
		"instances/  who told us of it, and where it is\n"
		"sessions/   a directory for each session with it\n"
		"lunN/       a directory for each LUN, once logged in\n"
		"\n"
		"	echo login > ctl\n"
		"	echo 'login auth=chap user=tom secret_file=/root/tom.secret' > ctl\n"
		"	echo logout > ctl\n",
};

/* --- targets/ --- */

static const struct attr target_row = { "IQN", ATTR_DIR, .mode = 0555, .dir = &target_dir };

static bool list_targets(struct object *o, const struct attr *child, struct attr_sink *s)
{
	for (GList *l = DAEMON(o)->targets; l; l = l->next) {
		struct target *t = l->data;

		if (!target_is_hidden(t) && !s->add(s, t->name, child, &t->obj))
			return false;
	}
	return true;
}

static struct object *find_target(struct object *o, const char *name)
{
	struct target *t = target_find(DAEMON(o), name);

	return t && !target_is_hidden(t) ? &t->obj : NULL;
}

static const struct attr targets_attrs[] = { ATTR_README_ROW, { 0 } };

const struct attr_dir tree_targets_dir = {
	.name = "targets",
	.attrs = targets_attrs,
	.list = list_targets,
	.find = find_target,
	.child = &target_row,
	.readme =
		"A directory for each target that is known, by its name.\n"
		"\n"
		"	echo login > iqn.2003-01.org.example:disk1/ctl\n",
};
