/* SPDX-License-Identifier: BSD-2-Clause */
/* The top of the tree. tree.h says how the tables hang together. */
#include "fuse/tree.h"

#include "core/daemon.h"
#include "core/discovery.h"
#include "core/persistent.h"
#include "fuse/version.h"

#define DAEMON(o) container_of(o, struct daemon, obj)

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
	{ "initiator", ATTR_DIR, 0555, .dir = &tree_initiator_dir, .object = initiator_of },
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
