/* SPDX-License-Identifier: BSD-2-Clause */
/* discovery/: the SendTargets portals, the targets entered by hand, the firmware's table. */
#include "fuse/tree.h"

#include <string.h>

#include "core/discovery.h"
#include "core/firmware.h"
#include "core/target.h"

#define DISCOVERY(o) container_of(o, struct discovery, obj)
#define PORTAL(o) container_of(o, struct portal, obj)
#define FIRMWARE(o) container_of(o, struct firmware, obj)
#define INSTANCE(o) container_of(o, struct instance, obj)

/* --- portals/ADDR:PORT/ --- */

static void show_state(struct object *o, GString *out)
{
	attr_print_text(out, portal_state_name(PORTAL(o)));
}

static void show_targets(struct object *o, GString *out)
{
	g_string_append_printf(out, "%u\n", PORTAL(o)->targets_found);
}

static void show_last_ok(struct object *o, GString *out)
{
	attr_print_time(out, PORTAL(o)->last_ok_us);
}

static void show_options(struct object *o, GString *out)
{
	tree_print_options(&PORTAL(o)->options, out);
}

static const struct attr portal_attrs[] = {
	ATTR_README_ROW,
	ATTR_CTL_ROW,
	ATTR_ERROR_ROW,
	ATTR_STATUS_ROW,
	ATTR_FILE("state", ATTR_JSON_TEXT, show_state),
	ATTR_FILE("targets", ATTR_JSON_NUMBER, show_targets),
	ATTR_FILE("last_ok", ATTR_JSON_TEXT, show_last_ok),
	ATTR_FILE("options", ATTR_JSON_PAIRS, show_options),
	{ 0 },
};

static void place_portal(const struct object *o, GString *out)
{
	g_string_append_printf(out, "discovery/portals/%s", PORTAL(o)->name);
}

static const struct attr_dir portal_dir = {
	.name = "discovery/portals/ADDR:PORT",
	.attrs = portal_attrs,
	.place = place_portal,
	.readme =
		"A portal that is asked for its targets (SendTargets).\n"
		"\n"
		"state    how the last discovery went\n"
		"targets  how many targets it told of\n"
		"last_ok  when that was\n"
		"options  what was given with add-portal; used for logins too\n"
		"\n"
		"	echo refresh > ctl\n",
};

static const struct attr portal_row = {
	"ADDR:PORT", ATTR_DIR, .mode = 0555, .dir = &portal_dir
};

static bool list_portals(struct object *o, const struct attr *child, struct attr_sink *s)
{
	for (GList *l = DISCOVERY(o)->portals; l; l = l->next) {
		struct portal *p = l->data;

		if (!s->add(s, p->name, child, &p->obj))
			return false;
	}
	return true;
}

static const struct attr portals_attrs[] = { ATTR_README_ROW, { 0 } };

static const struct attr_dir portals_dir = {
	.name = "discovery/portals",
	.attrs = portals_attrs,
	.list = list_portals,
	.child = &portal_row,
	.readme =
		"A directory for each portal that is asked for its targets.\n"
		"\n"
		"	echo 'add-portal 10.0.0.5' > ../ctl\n",
};

/* --- static/IQN/ --- */

static void show_static_portals(struct object *o, GString *out)
{
	tree_print_portals(INSTANCE(o), out);
}

static void show_static_options(struct object *o, GString *out)
{
	tree_print_options(&INSTANCE(o)->options, out);
}

static void show_static_hidden(struct object *o, GString *out)
{
	attr_print_text(out, INSTANCE(o)->is_hidden ? "yes" : "no");
}

static const struct attr static_attrs[] = {
	ATTR_README_ROW,
	ATTR_CTL_ROW,
	ATTR_ERROR_ROW,
	ATTR_STATUS_ROW,
	ATTR_FILE("hidden", ATTR_JSON_TEXT, show_static_hidden),
	ATTR_FILE("portals", ATTR_JSON_LINES, show_static_portals),
	ATTR_FILE("options", ATTR_JSON_PAIRS, show_static_options),
	{ 0 },
};

static const char *brief_static(const struct object *o)
{
	(void)o;
	return "portals";
}

static void place_static(const struct object *o, GString *out)
{
	g_string_append_printf(out, "discovery/static/%s", INSTANCE(o)->target->name);
}

static const struct attr_dir static_dir = {
	.name = "discovery/static/IQN",
	.attrs = static_attrs,
	.place = place_static,
	.brief = brief_static,
	.readme =
		"A target entered by hand.\n"
		"\n"
		"hidden   yes: not in targets/ until a discovery tells of it\n"
		"portals  where it is, a line each\n"
		"options  what was given with add-target; used for logins\n"
		"\n"
		"	echo remove > ctl\n",
};

static const struct attr static_row = { "IQN", ATTR_DIR, .mode = 0555, .dir = &static_dir };

static struct instance *static_instance(const struct target *t)
{
	for (GList *l = t->instances; l; l = l->next) {
		struct instance *i = l->data;

		if (!strcmp(i->mechanism, "static"))
			return i;
	}
	return NULL;
}

static bool list_statics(struct object *o, const struct attr *child, struct attr_sink *s)
{
	for (GList *l = DISCOVERY(o)->daemon->targets; l; l = l->next) {
		struct target *t = l->data;
		struct instance *i = static_instance(t);

		if (i && !s->add(s, t->name, child, &i->obj))
			return false;
	}
	return true;
}

static struct object *find_static(struct object *o, const char *name)
{
	struct target *t = target_find(DISCOVERY(o)->daemon, name);
	struct instance *i = t ? static_instance(t) : NULL;

	return i ? &i->obj : NULL;
}

static const struct attr statics_attrs[] = { ATTR_README_ROW, { 0 } };

static const struct attr_dir statics_dir = {
	.name = "discovery/static",
	.attrs = statics_attrs,
	.list = list_statics,
	.find = find_static,
	.child = &static_row,
	.readme =
		"A directory for each target entered by hand.\n"
		"\n"
		"	echo 'add-target iqn.2003-01.org.test:d1 portal=10.0.0.5' > ../ctl\n",
};

/* --- firmware/ --- */

static struct object *firmware_of(struct object *o)
{
	return &DISCOVERY(o)->firmware->obj;
}

static void show_firmware_state(struct object *o, GString *out)
{
	attr_print_text(out, firmware_state_name(FIRMWARE(o)));
}

static void show_firmware_targets(struct object *o, GString *out)
{
	g_string_append_printf(out, "%u\n", FIRMWARE(o)->targets_found);
}

static void show_firmware_last_ok(struct object *o, GString *out)
{
	attr_print_time(out, FIRMWARE(o)->last_ok_us);
}

static void show_firmware_name(struct object *o, GString *out)
{
	attr_print_text(out, FIRMWARE(o)->initiator_name);
}

static void show_firmware_nics(struct object *o, GString *out)
{
	const GPtrArray *nics = FIRMWARE(o)->nics;

	for (unsigned i = 0; i < nics->len; i++)
		attr_print_text(out, nics->pdata[i]);
}

static const struct attr firmware_attrs[] = {
	ATTR_README_ROW,
	ATTR_CTL_ROW,
	ATTR_ERROR_ROW,
	ATTR_STATUS_ROW,
	ATTR_FILE("state", ATTR_JSON_TEXT, show_firmware_state),
	ATTR_FILE("targets", ATTR_JSON_NUMBER, show_firmware_targets),
	ATTR_FILE("last_ok", ATTR_JSON_TEXT, show_firmware_last_ok),
	ATTR_FILE("initiator_name", ATTR_JSON_TEXT, show_firmware_name),
	ATTR_FILE("nics", ATTR_JSON_LINES, show_firmware_nics),
	{ 0 },
};

static const struct attr_dir firmware_dir = {
	.name = "discovery/firmware",
	.attrs = firmware_attrs,
	.readme =
		"The table of targets that the firmware of this host made (iBFT).\n"
		"\n"
		"state           none: this host has no such table\n"
		"targets         how many targets it names\n"
		"last_ok         when it was last read\n"
		"initiator_name  what the firmware calls this host\n"
		"nics            the network cards that it used, a line each\n"
		"\n"
		"	echo refresh > ctl\n",
};

/* --- discovery/ --- */

static const struct attr discovery_attrs[] = {
	ATTR_README_ROW,
	ATTR_CTL_ROW,
	ATTR_ERROR_ROW,
	ATTR_STATUS_ROW,
	ATTR_DIR_ROW("portals", portals_dir),
	ATTR_DIR_ROW("isns", tree_isns_dir),
	ATTR_DIR_ROW("static", statics_dir),
	{ "firmware", ATTR_DIR, .mode = 0555, .dir = &firmware_dir, .object = firmware_of },
	{ 0 },
};

const struct attr_dir tree_discovery_dir = {
	.name = "discovery",
	.attrs = discovery_attrs,
	.readme =
		"Where targets come from.\n"
		"\n"
		"portals/  addresses that are asked for their targets\n"
		"isns/     iSNS servers: they know targets, and tell of changes\n"
		"static/   targets entered by hand\n"
		"firmware/ targets that the firmware of this host knows\n"
		"\n"
		"	echo 'add-portal 10.0.0.5' > ctl\n"
		"	echo refresh > ctl\n",
};
