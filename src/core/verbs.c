/* SPDX-License-Identifier: BSD-2-Clause */
/* The verbs of all control files: a table for each kind of object, each row leading to the
 * function that does it. Parsing, the text of reading `ctl`, and the man page come from these
 * tables. A verb whose function comes with later work is not in them. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "core/attach.h"
#include "core/discovery.h"
#include "core/firmware.h"
#include "core/initiator_instance.h"
#include "core/inspect.h"
#include "core/isns_servers.h"
#include "core/mcs.h"
#include "core/reload.h"
#include "core/persistent.h"
#include "core/policies.h"
#include "core/renegotiate.h"
#include "core/target.h"
#include "core/tmf.h"

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

static void run_reload(struct object *obj, const struct command *cmd, struct operation *op)
{
	(void)cmd;
	reload_run(to_daemon(obj), op);
}

static const struct verb root_verbs[] = {
	{ "refresh", "", 0, 0, NULL, NULL, run_refresh_everything, "discover by all mechanisms" },
	{ "login", "TARGET", 1, 1, login_keys, NULL, run_login_by_name,
	  "log in; with portal= also to a target that is not known yet" },
	{ "shutdown", "", COMMAND_OWNERS, 0, NULL, NULL, run_shutdown,
	  "log out of everything and end" },
	{ "reload", "", COMMAND_OWNERS, 0, NULL, NULL, run_reload,
	  "read the configuration file again" },
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
	{ "portal", COMMAND_TEXT,
	  .help = "where it is: ADDR[:PORT][,TPGT]; needed, unless hidden or merged" },
	{ "alias", COMMAND_TEXT, .help = "what people call it" },
	{ "hidden", COMMAND_BOOL,
	  .help = "not shown, nor logged in to, until a discovery tells of it" },
	{ "merge", COMMAND_BOOL, .help = "add this to the target that was entered before" },
	{ "persist", COMMAND_BOOL, .help = "no: until the daemon ends; default: yes" },
	{ 0 },
};

/* Hides the key of logins. */
static const struct command_key add_portal_keys[] = {
	{ "persist", COMMAND_BOOL, .help = "no: until the daemon ends; default: yes" },
	{ 0 },
};

static void add_isns(struct object *obj, const struct command *cmd, struct operation *op)
{
	isns_servers_add(to_discovery(obj), cmd, op);
}

static void run_add_isns(struct object *obj, const struct command *cmd, struct operation *op)
{
	login_options_fetch(to_discovery(obj)->daemon, obj, cmd, op, add_isns);
}

static void run_remove_isns(struct object *obj, const struct command *cmd, struct operation *op)
{
	isns_servers_remove(to_discovery(obj), cmd, op);
}

static void run_refresh_isns(struct object *obj, const struct command *cmd, struct operation *op)
{
	isns_servers_refresh(to_discovery(obj), cmd, op);
}

const struct verb discovery_verbs[] = {
	{ "add-portal", "ADDR[:PORT]", 1, 1, add_portal_keys, SOURCE_KEYS, run_add_portal,
	  "ask this SendTargets portal, and keep it if it answers" },
	{ "remove-portal", "ADDR[:PORT]", 1, 1, NULL, NULL, run_remove_portal,
	  "forget the portal and what only it knows" },
	{ "refresh", "[PORTAL]", 0, 1, NULL, NULL, run_refresh,
	  "discover at this portal, or by all mechanisms" },
	{ "add-isns", "ADDR[:PORT]", 1, 1, add_portal_keys, SOURCE_KEYS, run_add_isns,
	  "register at this iSNS server and ask it for targets; keep it if it answers" },
	{ "remove-isns", "ADDR[:PORT]", 1, 1, NULL, NULL, run_remove_isns,
	  "deregister there, forget the server and what only it knows" },
	{ "refresh-isns", "[SERVER]", 0, 1, NULL, NULL, run_refresh_isns,
	  "register anew and ask for targets there, or at all iSNS servers" },
	{ "add-target", "IQN", 1, 1, add_target_keys, SOURCE_KEYS, run_add_target,
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
	GError *err = NULL;

	(void)cmd;
	if (!obj->is_gone) {
		discovery_forget_portal(to_portal(obj), op);
		return;
	}
	error_set_errno(&err, ISDSC_PORTAL_NOT_FOUND, ENODEV, "it is no longer there");
	operation_finish(op, err);
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
	if (err)
		operation_finish(op, err);
	else
		discovery_forget_target(t, op);
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
	if (err)
		operation_finish(op, err);
	else
		discovery_forget_instance(i, op);
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

static void run_add_connection(struct object *obj, const struct command *cmd,
			       struct operation *op)
{
	struct nexus *n = to_nexus(obj, op);

	if (n)
		mcs_add(n, cmd, op);
}

/* A decimal number of the tree; FALSE and @err. */
static gboolean parse_number(const char *text, const char *what, uint64_t max,
			     unsigned *ret_number, GError **err)
{
	uint64_t number;

	if (text_parse_u64(text, 0, max, &number) < 0) {
		error_set(err, ISDSC_INVALID_PARAMETER,
			  "%s: a number from 0 to %" G_GUINT64_FORMAT " is wanted", what,
			  (guint64)max);
		return FALSE;
	}
	*ret_number = (unsigned)number;
	return TRUE;
}

static void run_remove_connection(struct object *obj, const struct command *cmd,
				  struct operation *op)
{
	struct nexus *n = to_nexus(obj, op);
	GError *err = NULL;
	unsigned cid;

	if (!n)
		return;
	if (parse_number(cmd->args[0], "remove-connection", UINT32_MAX, &cid, &err))
		mcs_remove(n, cid, op);
	else
		operation_finish(op, err);
}

static const struct command_key conn_paths_keys[] = {
	{ "paths", COMMAND_TEXT,
	  .help = "all connections with it: CID[/active|/standby][/WEIGHT],..." },
	{ 0 },
};

/* When it is kept. */
static void finish_policy(struct daemon *d, GError *err, struct operation *op)
{
	if (err)
		operation_finish(op, err);
	else
		policies_wait(d->policies, op);
}

static void run_policy(struct object *obj, const struct command *cmd, struct operation *op)
{
	struct nexus *n = to_nexus(obj, op);
	const char *paths = command_key(cmd, "paths");
	enum policy policy;
	GError *err = NULL;

	if (!n)
		return;
	if (policy_parse(cmd->args[0], &policy) == 0) {
		if (!paths || mcs_set_paths(n, policy, paths, &err))
			mcs_set_policy(n, policy);
	} else {
		error_set_errno(
			&err, ISDSC_INVALID_LOAD_BALANCE_POLICY, EINVAL,
			"policy: failover, round-robin, round-robin-subset, weighted or "
			"least-queue-depth");
	}
	finish_policy(n->target->daemon, err, op);
}

static void run_reset_target(struct object *obj, const struct command *cmd,
			     struct operation *op)
{
	struct nexus *n = to_nexus(obj, op);
	bool is_cold = !strcmp(cmd->args[0], "target-cold");
	GError *err = NULL;

	if (!n)
		return;
	if (is_cold || !strcmp(cmd->args[0], "target-warm")) {
		tmf_reset_target(n, is_cold, op);
		return;
	}
	error_set(&err, ISDSC_INVALID_PARAMETER, "reset: target-warm or target-cold");
	operation_finish(op, err);
}

const struct verb session_verbs[] = {
	{ "logout", "", 0, 0, force_key, NULL, run_session_logout, "end this session" },
	{ "add-connection", "", 0, 0, mcs_add_keys, NULL, run_add_connection,
	  "one more connection in this session" },
	{ "remove-connection", "CID", 1, 1, NULL, NULL, run_remove_connection,
	  "log this one out, or do not bring it back; the last one stays" },
	{ "policy", "NAME", 1, 1, conn_paths_keys, NULL, run_policy,
	  "how commands are spread: failover, round-robin, round-robin-subset, weighted, "
	  "least-queue-depth" },
	{ "rescan", "", 0, 0, NULL, NULL, run_rescan, "look at the LUNs again" },
	{ "reset", "target-warm|target-cold", 1, 1, NULL, NULL, run_reset_target,
	  "all units of the target, for all initiators" },
	{ "set", "", 0, 0, renegotiate_keys, NULL, renegotiate_run,
	  "change time-outs, in force at once, or negotiate" },
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

static void run_conn_remove(struct object *obj, const struct command *cmd, struct operation *op)
{
	struct conn *c = container_of(obj, struct conn, obj);
	struct nexus *n = to_nexus(&c->session->obj, op);

	(void)cmd;
	if (n)
		mcs_remove(n, c->cid, op);
}

static void run_role(struct object *obj, const struct command *cmd, struct operation *op)
{
	struct conn *c = container_of(obj, struct conn, obj);
	bool is_standby = !strcmp(cmd->args[0], "standby");
	GError *err = NULL;

	if (is_standby || !strcmp(cmd->args[0], "active"))
		conn_set_role(c, is_standby);
	else
		error_set(&err, ISDSC_INVALID_PARAMETER, "role: active or standby");
	operation_finish(op, err);
}

static void run_weight(struct object *obj, const struct command *cmd, struct operation *op)
{
	GError *err = NULL;
	unsigned weight;

	if (parse_number(cmd->args[0], "weight", POLICY_WEIGHT_MAX, &weight, &err))
		conn_set_weight(container_of(obj, struct conn, obj), weight);
	operation_finish(op, err);
}

const struct verb conn_verbs[] = {
	{ "remove", "", 0, 0, NULL, NULL, run_conn_remove,
	  "log it out; the last one of a session stays" },
	{ "role", "active|standby", 1, 1, NULL, NULL, run_role,
	  "standby: only when no active one is there (failover, round-robin-subset)" },
	{ "weight", "N", 1, 1, NULL, NULL, run_weight, "the lowest is taken (weighted)" },
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

/* With expose=none nothing is done to a unit (C9). NULL: @op has failed. */
static struct lun *to_exposed(struct object *obj, struct operation *op)
{
	struct lun *l = to_lun(obj);
	GError *err = NULL;

	if (target_expose(l->target) != EXPOSE_NONE)
		return l;
	error_set(&err, ISDSC_REQUEST_NOT_SUPPORTED, "%s: lun %u: logged in with expose=none",
		  l->target->name, l->number);
	operation_finish(op, err);
	return NULL;
}

static void run_reset(struct object *obj, const struct command *cmd, struct operation *op)
{
	struct lun *l = to_exposed(obj, op);

	(void)cmd;
	if (l)
		inspect_reset(l, op);
}

static void run_abort_task_set(struct object *obj, const struct command *cmd,
			       struct operation *op)
{
	struct lun *l = to_exposed(obj, op);

	(void)cmd;
	if (l)
		tmf_unit(l, ISCSI_TMF_ABORT_TASK_SET, op);
}

static void run_clear_task_set(struct object *obj, const struct command *cmd,
			       struct operation *op)
{
	struct lun *l = to_exposed(obj, op);

	(void)cmd;
	if (l)
		tmf_unit(l, ISCSI_TMF_CLEAR_TASK_SET, op);
}

/* Of the verbs that ask a unit. */
static const struct command_key json_key[] = {
	{ "json", COMMAND_BOOL, .help = "the reply is one line of JSON" },
	{ 0 },
};

static const struct command_key inquiry_keys[] = {
	{ "page", COMMAND_NUMBER, 0, 255, .help = "the same as PAGE" },
	{ 0 },
};

/* -1: none was given. */
static gboolean parse_page(const struct command *cmd, int *ret_page, GError **err)
{
	bool is_key = command_key(cmd, "page") != NULL;
	uint64_t page = command_number(cmd, "page", 0);

	if (is_key && cmd->arg_count) {
		error_set(err, ISDSC_INVALID_PARAMETER,
			  "inquiry: the page is given twice: as PAGE and as page=");
		return FALSE;
	}
	if (cmd->arg_count && text_parse_u64(cmd->args[0], 0, 255, &page) < 0) {
		error_set(err, ISDSC_INVALID_PARAMETER,
			  "inquiry: PAGE is a number from 0 to 255, as 0x83");
		return FALSE;
	}
	*ret_page = is_key || cmd->arg_count ? (int)page : -1;
	return TRUE;
}

static void run_inquiry(struct object *obj, const struct command *cmd, struct operation *op)
{
	GError *err = NULL;
	int page;

	if (parse_page(cmd, &page, &err))
		inspect_inquiry(to_lun(obj), page, command_bool(cmd, "json", false), op);
	else
		operation_finish(op, err);
}

static void run_read_capacity(struct object *obj, const struct command *cmd,
			      struct operation *op)
{
	inspect_capacity(to_lun(obj), command_bool(cmd, "json", false), op);
}

static void run_report_luns(struct object *obj, const struct command *cmd, struct operation *op)
{
	inspect_luns(to_lun(obj), command_bool(cmd, "json", false), op);
}

static const struct command_key lun_paths_keys[] = {
	{ "paths", COMMAND_TEXT, .help = "all paths with it: SID[/active|/standby][/WEIGHT],..." },
	{ 0 },
};

static void run_lun_policy(struct object *obj, const struct command *cmd, struct operation *op)
{
	struct lun *l = to_lun(obj);
	const char *paths = command_key(cmd, "paths");
	GError *err = NULL;

	if (!paths || lun_set_paths(l, cmd->args[0], paths, &err))
		lun_set_policy(l, cmd->args[0], &err);
	finish_policy(l->target->daemon, err, op);
}

static const struct command_key lun_path_keys[] = {
	{ "role", COMMAND_TEXT, .help = "active, or standby: used when no active one is left" },
	{ "weight", COMMAND_NUMBER, 0, POLICY_WEIGHT_MAX,
	  .help = "of the policy `weighted`: the lowest is used" },
	{ 0 },
};

static void run_lun_path(struct object *obj, const struct command *cmd, struct operation *op)
{
	bool has_weight = command_key(cmd, "weight") != NULL;
	int64_t weight = has_weight ? (int64_t)command_number(cmd, "weight", 0) : -1;
	GError *err = NULL;

	lun_set_path(to_lun(obj), cmd->args[0], command_key(cmd, "role"), weight, &err);
	operation_finish(op, err);
}

static void run_attach(struct object *obj, const struct command *cmd, struct operation *op)
{
	(void)cmd;
	attach_start(to_lun(obj), op);
}

static const struct command_key detach_keys[] = {
	{ "force", COMMAND_BOOL,
	  .help = "also while it is in use: it goes with its last user" },
	{ 0 },
};

static void run_detach(struct object *obj, const struct command *cmd, struct operation *op)
{
	attach_stop(to_lun(obj), command_bool(cmd, "force", false), op);
}

const struct verb lun_verbs[] = {
	{ "rescan", "", 0, 0, NULL, NULL, run_lun_rescan, "look at this LUN again" },
	{ "inquiry", "[PAGE]", 0, 1, inquiry_keys, json_key, run_inquiry,
	  "INQUIRY, or a page of vital product data, decoded and raw" },
	{ "read-capacity", "", 0, 0, json_key, NULL, run_read_capacity,
	  "READ CAPACITY(16), else (10)" },
	{ "reset", "", 0, 0, NULL, NULL, run_reset,
	  "LOGICAL UNIT RESET: for all initiators; what is under way here is sent again" },
	{ "abort-task-set", "", 0, 0, NULL, NULL, run_abort_task_set,
	  "end what is under way from here; it is sent again" },
	{ "clear-task-set", "", 0, 0, NULL, NULL, run_clear_task_set,
	  "end what is under way from all initiators; ours is sent again" },
	{ "report-luns", "", 0, 0, json_key, NULL, run_report_luns, "REPORT LUNS" },
	{ "policy", "NAME", 1, 1, lun_paths_keys, NULL, run_lun_policy,
	  "which path is taken: failover, round-robin, round-robin-subset, weighted or "
	  "least-queue-depth" },
	{ "path", "SID", 1, 1, lun_path_keys, NULL, run_lun_path,
	  "role and weight of the path by this session" },
	{ "attach", "", 0, 0, NULL, NULL, run_attach, "a loop device over it: see `block`" },
	{ "detach", "", 0, 0, detach_keys, NULL, run_detach, "take that away" },
	{ 0 },
};

/* ---- all of them ---- */

const struct verb *daemon_verbs(enum object_kind kind)
{
	static const struct verb *const tables[OBJECT_KINDS] = {
		[OBJECT_DAEMON] = root_verbs,	  [OBJECT_DISCOVERY] = discovery_verbs,
		[OBJECT_ISNS] = isns_verbs,
		[OBJECT_PORTAL] = portal_verbs,	  [OBJECT_TARGET] = target_verbs,
		[OBJECT_SESSION] = session_verbs, [OBJECT_CONN] = conn_verbs,
		[OBJECT_PERSISTENT] = persistent_verbs,
		[OBJECT_LOGIN] = saved_login_verbs,
		[OBJECT_VOLUME] = volume_verbs,
		[OBJECT_INITIATOR] = initiator_verbs,
		[OBJECT_INITIATOR_INSTANCE] = initiator_instance_verbs,
		[OBJECT_FIRMWARE] = firmware_verbs,
		[OBJECT_LUN] = lun_verbs,	  [OBJECT_INSTANCE] = instance_verbs,
	};

	return tables[kind];
}
