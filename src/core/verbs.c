/* SPDX-License-Identifier: BSD-2-Clause */
/* The verbs of all control files: a table for each kind of object, each row leading to the
 * function that does it. Parsing, the text of reading `ctl`, and the man page come from these
 * tables. A verb whose function comes with later work is not in them. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "core/discovery.h"
#include "core/inspect.h"
#include "core/target.h"

static const struct command_key force_key[] = {
	{ "force", COMMAND_BOOL, .help = "also while a LUN is open: its users get errors" },
	{ 0 },
};

/* ---- root ---- */

static struct daemon *to_daemon(struct object *obj)
{
	return container_of(obj, struct daemon, obj);
}

static void run_refresh_everything(struct object *obj, const struct command *cmd,
				   struct operation *op)
{
	(void)cmd;
	discovery_refresh_all(to_daemon(obj)->discovery, op);
}

static void login_by_name(struct object *obj, const struct command *cmd, struct operation *op)
{
	target_login_by_name(to_daemon(obj), cmd, op);
}

static void run_login_by_name(struct object *obj, const struct command *cmd,
			      struct operation *op)
{
	login_options_fetch(to_daemon(obj), obj, cmd, op, login_by_name);
}

static void run_shutdown(struct object *obj, const struct command *cmd, struct operation *op)
{
	struct daemon *d = to_daemon(obj);
	GError *err = NULL;

	(void)cmd;
	if (!d->quit)
		error_set(&err, ISDSC_REQUEST_NOT_SUPPORTED, "this daemon cannot be ended so");
	operation_finish(op, err);
	if (d->quit)
		d->quit(d->quit_arg);
}

static const struct verb root_verbs[] = {
	{ "refresh", "", 0, 0, NULL, NULL, run_refresh_everything, "discover at all portals" },
	{ "login", "TARGET", 1, 1, login_keys, NULL, run_login_by_name,
	  "log in; with portal= also to a target that is not known yet" },
	{ "shutdown", "", 0, 0, NULL, NULL, run_shutdown, "log out of everything and end" },
	{ 0 },
};

/* ---- discovery ---- */

static struct discovery *to_discovery(struct object *obj)
{
	return container_of(obj, struct discovery, obj);
}

static void add_portal(struct object *obj, const struct command *cmd, struct operation *op)
{
	discovery_add_portal(to_discovery(obj), cmd, op);
}

static void run_add_portal(struct object *obj, const struct command *cmd, struct operation *op)
{
	login_options_fetch(to_discovery(obj)->daemon, obj, cmd, op, add_portal);
}

static void run_remove_portal(struct object *obj, const struct command *cmd,
			      struct operation *op)
{
	discovery_remove_portal(to_discovery(obj), cmd, op);
}

static void run_refresh(struct object *obj, const struct command *cmd, struct operation *op)
{
	if (cmd->arg_count)
		discovery_refresh_portal(to_discovery(obj), cmd, op);
	else
		discovery_refresh_all(to_discovery(obj), op);
}

static void add_target(struct object *obj, const struct command *cmd, struct operation *op)
{
	discovery_add_target(to_discovery(obj), cmd, op);
}

static void run_add_target(struct object *obj, const struct command *cmd, struct operation *op)
{
	login_options_fetch(to_discovery(obj)->daemon, obj, cmd, op, add_target);
}

static void run_remove_target(struct object *obj, const struct command *cmd,
			      struct operation *op)
{
	discovery_remove_target(to_discovery(obj), cmd, op);
}

static const struct command_key add_target_keys[] = {
	{ "portal", COMMAND_TEXT, .help = "where it is: ADDR[:PORT][,TPGT]; needed" },
	{ "alias", COMMAND_TEXT, .help = "what people call it" },
	{ 0 },
};

const struct verb discovery_verbs[] = {
	{ "add-portal", "ADDR[:PORT]", 1, 1, login_keys, NULL, run_add_portal,
	  "ask this SendTargets portal, and keep it if it answers" },
	{ "remove-portal", "ADDR[:PORT]", 1, 1, NULL, NULL, run_remove_portal,
	  "forget the portal and what only it knows" },
	{ "refresh", "[PORTAL]", 0, 1, NULL, NULL, run_refresh,
	  "discover at this portal, or at all of them" },
	{ "add-target", "IQN", 1, 1, add_target_keys, login_keys, run_add_target,
	  "enter a target by hand" },
	{ "remove-target", "IQN", 1, 1, NULL, NULL, run_remove_target,
	  "forget a target that was entered by hand" },
	{ 0 },
};

/* ---- portals ---- */

static struct portal *to_portal(struct object *obj)
{
	return container_of(obj, struct portal, obj);
}

static void run_refresh_portal(struct object *obj, const struct command *cmd,
			       struct operation *op)
{
	(void)cmd;
	portal_refresh(to_portal(obj), op);
}

static void run_portal_remove(struct object *obj, const struct command *cmd,
			      struct operation *op)
{
	(void)cmd;
	portal_remove(to_portal(obj));
	operation_finish(op, NULL);
}

const struct verb portal_verbs[] = {
	{ "refresh", "", 0, 0, NULL, NULL, run_refresh_portal, "discover here" },
	{ "remove", "", 0, 0, NULL, NULL, run_portal_remove,
	  "forget the portal and what only it knows" },
	{ 0 },
};

/* ---- targets ---- */

static struct target *to_target(struct object *obj)
{
	return container_of(obj, struct target, obj);
}

static void login(struct object *obj, const struct command *cmd, struct operation *op)
{
	target_login(to_target(obj), cmd, op);
}

static void run_login(struct object *obj, const struct command *cmd, struct operation *op)
{
	login_options_fetch(to_target(obj)->daemon, obj, cmd, op, login);
}

static void run_logout(struct object *obj, const struct command *cmd, struct operation *op)
{
	target_logout(to_target(obj), command_bool(cmd, "force", false), op);
}

static void run_target_remove(struct object *obj, const struct command *cmd,
			      struct operation *op)
{
	struct target *t = to_target(obj);
	GError *err = NULL;

	(void)cmd;
	if (t->nexuses || t->logging_in)
		error_set_errno(&err, ISDSC_TARGET_ALREADY_LOGGED_IN, EBUSY,
				"%s: in use: log out first", t->name);
	else
		target_drop(t);
	operation_finish(op, err);
}

const struct verb target_verbs[] = {
	{ "login", "", 0, 0, login_keys, NULL, run_login, "log in and look at the LUNs" },
	{ "logout", "", 0, 0, force_key, NULL, run_logout, "end all sessions" },
	{ "remove", "", 0, 0, NULL, NULL, run_target_remove,
	  "forget it, until a discovery finds it again" },
	{ 0 },
};

/* ---- instances ---- */

static void run_instance_remove(struct object *obj, const struct command *cmd,
				struct operation *op)
{
	struct instance *i = container_of(obj, struct instance, obj);
	GError *err = NULL;

	(void)cmd;
	if (obj->is_gone)
		error_set_errno(&err, ISDSC_NOT_FOUND, ENODEV, "it is no longer there");
	else if (i->priority != INSTANCE_STATIC)
		error_set(&err, ISDSC_REQUEST_NOT_SUPPORTED,
			  "%s: known by %s, not entered by hand: remove the portal",
			  i->target->name, i->mechanism);
	else
		target_drop_instance(i->target, i->mechanism);
	operation_finish(op, err);
}

static const struct verb instance_verbs[] = {
	{ "remove", "", 0, 0, NULL, NULL, run_instance_remove,
	  "forget a target that was entered by hand" },
	{ 0 },
};

/* ---- sessions ---- */

static struct nexus *to_nexus(struct object *obj, struct operation *op)
{
	struct nexus *n = nexus_of_session(container_of(obj, struct session, obj));
	GError *err = NULL;

	if (!n) {
		error_set_errno(&err, ISDSC_INVALID_SESSION_ID, ENODEV,
				"the session has ended");
		operation_finish(op, err);
	}
	return n;
}

static void run_session_logout(struct object *obj, const struct command *cmd,
			       struct operation *op)
{
	struct nexus *n = to_nexus(obj, op);

	if (n)
		nexus_logout(n, command_bool(cmd, "force", false), op);
}

static void run_rescan(struct object *obj, const struct command *cmd, struct operation *op)
{
	struct nexus *n = to_nexus(obj, op);
	GError *err = NULL;

	(void)cmd;
	if (n && nexus_is_usable(n)) {
		lun_scan(n, op);
	} else if (n) {
		error_set_errno(&err, ISDSC_CONNECTION_FAILED, EIO,
				"%s: session %u has no connection", n->target->name,
				n->session->sid);
		operation_finish(op, err);
	}
}

/* What may be changed in a session that lives. */
static const struct command_key set_keys[] = {
	{ "logout_timeout", COMMAND_SECONDS, .help = "of a logout" },
	{ "text_timeout", COMMAND_SECONDS, .help = "of a text exchange" },
	{ "nop_interval", COMMAND_SECONDS, .help = "silence before we ping; 0: never" },
	{ "nop_timeout", COMMAND_SECONDS, .help = "of a ping" },
	{ "command_timeout", COMMAND_SECONDS, .help = "of a SCSI command, retries included" },
	{ 0 },
};

/* A ping makes a connection notice a new interval. */
static void apply_timeouts(struct nexus *n)
{
	for (GList *l = n->session->conns; l; l = l->next)
		conn_ping(l->data, NULL, NULL);
	for (GList *l = n->target->luns; l; l = l->next)
		if (lun_has_session(l->data, n->session))
			lun_take_timeout(l->data, n->session);
}

static void run_set(struct object *obj, const struct command *cmd, struct operation *op)
{
	struct nexus *n = to_nexus(obj, op);
	struct session_timeouts *t;
	GError *err = NULL;

	if (!n)
		return;
	t = &n->session->config.timeouts;
	t->logout_ms = command_ms(cmd, "logout_timeout", t->logout_ms);
	t->text_ms = command_ms(cmd, "text_timeout", t->text_ms);
	t->nop_interval_ms = command_ms(cmd, "nop_interval", t->nop_interval_ms);
	t->nop_timeout_ms = command_ms(cmd, "nop_timeout", t->nop_timeout_ms);
	t->command_ms = command_ms(cmd, "command_timeout", t->command_ms);
	if (!g_hash_table_size(cmd->keys))
		error_set(&err, ISDSC_MISSING_PARAMETER, "set: nothing to set");
	else
		apply_timeouts(n);
	operation_finish(op, err);
}

const struct verb session_verbs[] = {
	{ "logout", "", 0, 0, force_key, NULL, run_session_logout, "end this session" },
	{ "rescan", "", 0, 0, NULL, NULL, run_rescan, "look at the LUNs again" },
	{ "set", "", 0, 0, set_keys, NULL, run_set, "change time-outs, in force at once" },
	{ 0 },
};

/* ---- connections ---- */

static const struct command_key ping_keys[] = {
	{ "count", COMMAND_NUMBER, 1, 1000, .help = "default: 1" },
	{ 0 },
};

static void run_ping(struct object *obj, const struct command *cmd, struct operation *op)
{
	struct conn *c = container_of(obj, struct conn, obj);
	struct nexus *n = to_nexus(&c->session->obj, op);

	if (n)
		inspect_ping(n->target->daemon, c, (unsigned)command_number(cmd, "count", 1),
			     op);
}

const struct verb conn_verbs[] = {
	{ "ping", "", 0, 0, ping_keys, NULL, run_ping, "NOP-Out and its answer, timed" },
	{ 0 },
};

/* ---- logical units ---- */

static struct lun *to_lun(struct object *obj)
{
	return container_of(obj, struct lun, obj);
}

static void run_lun_rescan(struct object *obj, const struct command *cmd, struct operation *op)
{
	(void)cmd;
	lun_rescan(to_lun(obj), op);
}

static void run_reset(struct object *obj, const struct command *cmd, struct operation *op)
{
	(void)cmd;
	inspect_reset(to_lun(obj), op);
}

static const struct command_key inquiry_keys[] = {
	{ "page", COMMAND_NUMBER, 0, 255, .help = "vital product data page, 0xNN" },
	{ 0 },
};

static void run_inquiry(struct object *obj, const struct command *cmd, struct operation *op)
{
	bool is_page = command_key(cmd, "page") != NULL;

	inspect_inquiry(to_lun(obj), is_page ? (int)command_number(cmd, "page", 0) : -1, op);
}

static void run_read_capacity(struct object *obj, const struct command *cmd,
			      struct operation *op)
{
	(void)cmd;
	inspect_capacity(to_lun(obj), op);
}

static void run_report_luns(struct object *obj, const struct command *cmd, struct operation *op)
{
	(void)cmd;
	inspect_luns(to_lun(obj), op);
}

const struct verb lun_verbs[] = {
	{ "rescan", "", 0, 0, NULL, NULL, run_lun_rescan, "look at this LUN again" },
	{ "inquiry", "", 0, 0, inquiry_keys, NULL, run_inquiry, "INQUIRY, decoded and raw" },
	{ "read-capacity", "", 0, 0, NULL, NULL, run_read_capacity, "READ CAPACITY(16)" },
	{ "reset", "", 0, 0, NULL, NULL, run_reset,
	  "LOGICAL UNIT RESET: for all initiators; what is under way here is sent again" },
	{ "report-luns", "", 0, 0, NULL, NULL, run_report_luns, "REPORT LUNS" },
	{ 0 },
};

/* ---- all of them ---- */

const struct verb *daemon_verbs(enum object_kind kind)
{
	static const struct verb *const tables[OBJECT_KINDS] = {
		[OBJECT_DAEMON] = root_verbs,	  [OBJECT_DISCOVERY] = discovery_verbs,
		[OBJECT_PORTAL] = portal_verbs,	  [OBJECT_TARGET] = target_verbs,
		[OBJECT_SESSION] = session_verbs, [OBJECT_CONN] = conn_verbs,
		[OBJECT_LUN] = lun_verbs,	  [OBJECT_INSTANCE] = instance_verbs,
	};

	return tables[kind];
}
