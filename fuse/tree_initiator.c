/* SPDX-License-Identifier: BSD-2-Clause */
/* initiator/: who we are, and the ways out of this host. */
#include "fuse/tree.h"

#include "core/daemon.h"
#include "core/initiator_instance.h"

#define INITIATOR(o) container_of(o, struct initiator, obj)
#define INSTANCE(o) container_of(o, struct initiator_instance, obj)

/* --- instances/NAME/ --- */

static void show_interface(struct object *o, GString *out)
{
	attr_print_text(out, INSTANCE(o)->interface);
}

static void show_source(struct object *o, GString *out)
{
	attr_print_text(out, INSTANCE(o)->source);
}

static void show_state(struct object *o, GString *out)
{
	attr_print_text(out, initiator_instance_is_away(INSTANCE(o)) ? "away" : "up");
}

static void show_ports(struct object *o, GString *out)
{
	g_autoptr(GPtrArray) ports = initiator_instance_ports(INSTANCE(o));

	for (guint n = 0; n < ports->len; n++)
		g_string_append_printf(out, "%u %s\n", n, (const char *)ports->pdata[n]);
}

static void show_sessions(struct object *o, GString *out)
{
	g_string_append_printf(out, "%u\n", initiator_instance_sessions(INSTANCE(o)));
}

static const struct attr instance_attrs[] = {
	ATTR_README_ROW,
	ATTR_CTL_ROW,
	ATTR_ERROR_ROW,
	ATTR_STATUS_ROW,
	ATTR_FILE("interface", ATTR_JSON_TEXT, show_interface),
	ATTR_FILE("source", ATTR_JSON_TEXT, show_source),
	ATTR_FILE("state", ATTR_JSON_TEXT, show_state),
	ATTR_FILE("ports", ATTR_JSON_PAIRS, show_ports),
	ATTR_FILE("sessions", ATTR_JSON_NUMBER, show_sessions),
	{ 0 },
};

static void place_instance(const struct object *o, GString *out)
{
	g_string_append_printf(out, "initiator/instances/%s",
			       container_of(o, const struct initiator_instance, obj)->name);
}

static const struct attr_dir instance_dir = {
	.name = "initiator/instances/NAME",
	.attrs = instance_attrs,
	.place = place_instance,
	.readme =
		"A way out of this host.\n"
		"\n"
		"interface  the network interface; -: any\n"
		"source     the address of ours; -: any\n"
		"state      up, or away: this host does not have it now\n"
		"ports      the addresses that it has now, numbered\n"
		"sessions   how many were made by it\n"
		"\n"
		"	echo 'login instance=san1' > ../../../targets/IQN/ctl\n",
};

static const struct attr instance_row = {
	"NAME", ATTR_DIR, .mode = 0555, .dir = &instance_dir
};

static bool list_instances(struct object *o, const struct attr *child, struct attr_sink *s)
{
	for (GList *l = INITIATOR(o)->daemon->instances; l; l = l->next) {
		struct initiator_instance *i = l->data;

		if (!s->add(s, i->name, child, &i->obj))
			return false;
	}
	return true;
}

static const struct attr instances_attrs[] = { ATTR_README_ROW, { 0 } };

static const struct attr_dir instances_dir = {
	.name = "initiator/instances",
	.attrs = instances_attrs,
	.list = list_instances,
	.child = &instance_row,
	.readme =
		"A directory for each way out of this host.\n"
		"\n"
		"	echo 'add-instance san1 interface=eth1' > ../ctl\n",
};

/* --- initiator/ --- */

static void show_name(struct object *o, GString *out)
{
	attr_print_text(out, INITIATOR(o)->name);
}

static gboolean store_name(struct object *o, const char *value, GError **err)
{
	return initiator_set_name(INITIATOR(o), value, err);
}

/* Without an alias the file is an empty line, which sets none when it is written back. */
static void show_alias(struct object *o, GString *out)
{
	const char *alias = INITIATOR(o)->alias;

	if (alias && *alias)
		attr_print_text(out, alias);
	else
		g_string_append_c(out, '\n');
}

static gboolean store_alias(struct object *o, const char *value, GError **err)
{
	return initiator_set_alias(INITIATOR(o), value, err);
}

/* Whether there is one, for status.json and who may read everything. */
static void show_chap_secret(struct object *o, GString *out)
{
	attr_print_text(out, INITIATOR(o)->chap_secret ? "***" : NULL);
}

static gboolean store_chap_secret(struct object *o, const char *value, GError **err)
{
	return initiator_set_chap_secret(INITIATOR(o), value, err);
}

static void keep(struct object *o, struct operation *op)
{
	initiator_wait_saved(INITIATOR(o), op);
}

static const struct attr initiator_attrs[] = {
	ATTR_README_ROW,
	ATTR_CTL_ROW,
	ATTR_ERROR_ROW,
	ATTR_STATUS_ROW,
	{ "name", ATTR_VALUE, .mode = 0644, .show = show_name, .store = store_name,
	  .keep = keep },
	{ "alias", ATTR_VALUE, .mode = 0644, .show = show_alias, .store = store_alias,
	  .keep = keep },
	{ "chap_secret", ATTR_VALUE, .mode = 0200, .show = show_chap_secret,
	  .store = store_chap_secret, .keep = keep, .is_owners = true },
	ATTR_DIR_ROW("instances", instances_dir),
	{ 0 },
};

const struct attr_dir tree_initiator_dir = {
	.name = "initiator",
	.attrs = initiator_attrs,
	.readme =
		"Who we are to every target.\n"
		"\n"
		"name   the node name sent at login; write a name to fix it, * to go back to\n"
		"       the one made of the host name; sessions that exist keep theirs\n"
		"alias  a text for people, sent along; an empty line for none\n"
		"chap_secret\n"
		"       write only: the secret by which all targets prove themselves with\n"
		"       auth=mutual, unless the login says secret_in=; * for none\n"
		"instances/\n"
		"       ways out of this host, for instance=NAME of logins\n"
		"\n"
		"	echo iqn.2026-01.org.example:host1 > name\n",
};
