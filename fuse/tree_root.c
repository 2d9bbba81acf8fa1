/* SPDX-License-Identifier: BSD-2-Clause */
/* The top of the tree and initiator/. tree.h says how the tables hang together. */
#include "fuse/tree.h"

#include "core/daemon.h"
#include "core/discovery.h"
#include "core/persistent.h"
#include "fuse/version.h"

#define DAEMON(o) container_of(o, struct daemon, obj)
#define INITIATOR(o) container_of(o, struct initiator, obj)

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
	ATTR_ERROR_ROW,
	ATTR_STATUS_ROW,
	{ "name", ATTR_VALUE, .mode = 0644, .show = show_name, .store = store_name,
	  .keep = keep },
	{ "alias", ATTR_VALUE, .mode = 0644, .show = show_alias, .store = store_alias,
	  .keep = keep },
	{ "chap_secret", ATTR_VALUE, .mode = 0200, .show = show_chap_secret,
	  .store = store_chap_secret, .keep = keep, .is_owners = true },
	{ 0 },
};

static const struct attr_dir initiator_dir = {
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
		"\n"
		"	echo iqn.2026-01.org.example:host1 > name\n",
};

/* --- the top --- */

static struct object *initiator_of(struct object *o)
{
	return &DAEMON(o)->initiator->obj;
}

static struct object *discovery_of(struct object *o)
{
	return &DAEMON(o)->discovery->obj;
}

static struct object *persistent_of(struct object *o)
{
	return &DAEMON(o)->persistent->obj;
}

static void show_version(struct object *o, GString *out)
{
	(void)o;
	g_string_append(out, ISCSIFS_VERSION "\n");
}

static const struct attr root_attrs[] = {
	ATTR_README_ROW,
	ATTR_CTL_ROW,
	ATTR_ERROR_ROW,
	ATTR_STATUS_ROW,
	ATTR_FILE("version", ATTR_JSON_TEXT, show_version),
	{ "events", ATTR_EVENTS, .mode = 0444 },
	{ "events.json", ATTR_EVENTS, .mode = 0444, .is_json = true },
	{ "events_pipe", ATTR_EVENTS_PIPE, .mode = 0444 },
	{ "events_pipe.json", ATTR_EVENTS_PIPE, .mode = 0444, .is_json = true },
	{ "initiator", ATTR_DIR, 0555, .dir = &initiator_dir, .object = initiator_of },
	{ "discovery", ATTR_DIR, 0555, .dir = &tree_discovery_dir, .object = discovery_of },
	{ "persistent", ATTR_DIR, 0555, .dir = &tree_persistent_dir, .object = persistent_of },
	ATTR_DIR_ROW("targets", tree_targets_dir),
	ATTR_DIR_ROW("sessions", tree_all_sessions_dir),
	ATTR_DIR_ROW("by-id", tree_by_id_dir),
	{ 0 },
};

static const struct attr_dir root_dir = {
	.name = "/",
	.attrs = root_attrs,
	.readme =
		"iscsifs: iSCSI targets as files. iscsi-tree(7) describes every file.\n"
		"\n"
		"initiator/  our own name\n"
		"discovery/  where targets come from\n"
		"targets/    the targets, their sessions and LUNs\n"
		"sessions/   every session, by number\n"
		"by-id/      every LUN, by its worldwide name\n"
		"persistent/ what is done at each start, and waited for\n"
		"events      what happened, a line each: tail -f events\n"
		"events_pipe the next events: reading waits for them\n"
		"\n"
		"In each directory: `cat ctl` prints the commands that can be written to it,\n"
		"`error` holds the last failures and what to do about them, status.json has\n"
		"everything.\n"
		"\n"
		"	echo 'add-portal 10.0.0.5' > discovery/ctl\n"
		"	ls targets\n"
		"	echo login > targets/iqn.2003-01.org.example:disk1/ctl\n"
		"	ls -l targets/iqn.2003-01.org.example:disk1/lun0/disk\n",
};

const struct attr tree_root_row = { "", ATTR_DIR, .mode = 0555, .dir = &root_dir };
