/* SPDX-License-Identifier: BSD-2-Clause */
/* Sessions and their connections, and sessions/ with a link to each by its number. */
#include "fuse/tree.h"

#include <errno.h>

#include "base/error.h"
#include "core/policies.h"
#include "core/mcs.h"
#include "core/revive.h"
#include "core/target.h"

#define DAEMON(o) container_of(o, struct daemon, obj)
#define TARGET(o) container_of(o, struct target, obj)
#define SESSION(o) container_of(o, struct session, obj)
#define CONN(o) container_of(o, struct conn, obj)

/* --- connections/CID/ --- */

static void show_conn_state(struct object *o, GString *out)
{
	attr_print_text(out, conn_state_name(CONN(o)->state));
}

static void show_conn_cid(struct object *o, GString *out)
{
	g_string_append_printf(out, "%u\n", (unsigned)CONN(o)->wire_cid);
}

static void show_conn_local(struct object *o, GString *out)
{
	attr_print_text(out, CONN(o)->local);
}

static void show_conn_remote(struct object *o, GString *out)
{
	attr_print_text(out, CONN(o)->remote);
}

static void show_conn_params(struct object *o, GString *out)
{
	if (CONN(o)->params)
		g_string_append(out, CONN(o)->params->str);
}

static void show_conn_stats(struct object *o, GString *out)
{
	const struct conn *c = CONN(o);
	const struct conn_stats *s = &c->stats;

	attr_print_count(out, "pdus_sent", c->tx.pdus);
	attr_print_count(out, "pdus_received", c->rx.pdus);
	attr_print_count(out, "bytes_sent", c->tx.bytes);
	attr_print_count(out, "bytes_received", c->rx.bytes);
	attr_print_count(out, "outstanding", c->outstanding_count);
	attr_print_count(out, "r2ts", s->r2ts);
	attr_print_count(out, "data_outs", s->data_outs);
	attr_print_count(out, "data_ins", s->data_ins);
	attr_print_count(out, "rejects", s->rejects);
	attr_print_count(out, "header_digest_errors", s->header_digest_errors);
	attr_print_count(out, "digest_errors", s->digest_errors);
	attr_print_count(out, "protocol_errors", s->protocol_errors);
	attr_print_count(out, "snacks_data", s->snacks_data);
	attr_print_count(out, "snacks_status", s->snacks_status);
	attr_print_count(out, "snacks_ack", s->snacks_ack);
	attr_print_count(out, "snacks_rdata", s->snacks_rdata);
	attr_print_count(out, "recovered_pdus", s->recovered_pdus);
	attr_print_count(out, "recovery_r2ts", s->recovery_r2ts);
	attr_print_count(out, "retries", s->retries);
	attr_print_count(out, "nop_timeouts", s->nop_timeouts);
	attr_print_count(out, "pings", s->pings);
	attr_print_count(out, "pings_answered", s->pings_answered);
}

static void show_conn_role(struct object *o, GString *out)
{
	tree_show_role(&CONN(o)->lane, out);
}

static void show_conn_weight(struct object *o, GString *out)
{
	tree_show_weight(&CONN(o)->lane, out);
}

static gboolean store_conn_role(struct object *o, const char *value, GError **err)
{
	bool is_standby;

	if (!tree_parse_role(value, &is_standby, err))
		return FALSE;
	conn_set_role(CONN(o), is_standby);
	return TRUE;
}

static gboolean store_conn_weight(struct object *o, const char *value, GError **err)
{
	unsigned weight;

	if (!tree_parse_weight(value, &weight, err))
		return FALSE;
	conn_set_weight(CONN(o), weight);
	return TRUE;
}

static const struct attr conn_attrs[] = {
	ATTR_README_ROW,
	ATTR_CTL_ROW,
	ATTR_ERROR_ROW,
	ATTR_STATUS_ROW,
	ATTR_FILE("state", ATTR_JSON_TEXT, show_conn_state),
	ATTR_FILE("cid", ATTR_JSON_NUMBER, show_conn_cid),
	ATTR_FILE("local", ATTR_JSON_TEXT, show_conn_local),
	ATTR_FILE("remote", ATTR_JSON_TEXT, show_conn_remote),
	ATTR_SETTING("role", ATTR_JSON_TEXT, show_conn_role, store_conn_role),
	ATTR_SETTING("weight", ATTR_JSON_NUMBER, show_conn_weight, store_conn_weight),
	ATTR_FILE("params", ATTR_JSON_PARAMS, show_conn_params),
	ATTR_FILE("stats", ATTR_JSON_PAIRS, show_conn_stats),
	{ 0 },
};

static void place_conn(const struct object *o, GString *out)
{
	g_string_append_printf(out, "sessions/%u/connections/%u", CONN(o)->session->sid,
			       CONN(o)->cid);
}

static const struct attr_dir conn_dir = {
	.name = "targets/IQN/sessions/SID/connections/CID",
	.attrs = conn_attrs,
	.place = place_conn,
	.readme =
		"A connection of the session.\n"
		"\n"
		"state   of RFC 7143 8.1\n"
		"cid     the connection id on the wire\n"
		"local   our end, remote: the target's\n"
		"role    active, or standby: used when no active one is left\n"
		"weight  of the policy `weighted`: the lowest is used\n"
		"params  KEY REQUESTED NEGOTIATED, a line a key of the login\n"
		"stats   counters\n"
		"\n"
		"	cat params\n"
		"	echo standby > role\n",
};

static const struct attr conn_row = { "CID", ATTR_DIR, .mode = 0555, .dir = &conn_dir };

static bool list_conns(struct object *o, const struct attr *child, struct attr_sink *s)
{
	for (GList *l = SESSION(o)->conns; l; l = l->next) {
		struct conn *c = l->data;
		char name[sizeof("4294967295")];

		g_snprintf(name, sizeof(name), "%u", c->cid);
		if (!s->add(s, name, child, &c->obj))
			return false;
	}
	return true;
}

static const struct attr conns_attrs[] = { ATTR_README_ROW, { 0 } };

static const struct attr_dir conns_dir = {
	.name = "targets/IQN/sessions/SID/connections",
	.attrs = conns_attrs,
	.list = list_conns,
	.child = &conn_row,
	.readme =
		"A directory for each connection. Numbers are never used twice.\n"
		"\n"
		"	cat */remote\n",
};

/* --- sessions/SID/ --- */

static void show_state(struct object *o, GString *out)
{
	const struct nexus *n = nexus_of_session(SESSION(o));

	attr_print_text(out, n ? nexus_state_name(n) : session_state_name(SESSION(o)->state));
}

static void print_seconds(GString *out, int64_t ms)
{
	g_string_append_printf(out, " %" G_GINT64_FORMAT ".%d", ms / 1000,
			       (int)(ms % 1000 / 100));
}

/* "connection.2 10.0.0.5:3260 lost 12.3 attempts 4 next 0.5"; the session alike. */
static void print_retry(const struct revive_item *i, const char *name, GString *out)
{
	g_string_append(out, name);
	if (i->portal)
		g_string_append_printf(out, ".%u %s", i->cid, i->portal);
	if (i->is_up) {
		g_string_append(out, " up\n");
		return;
	}
	g_string_append(out, " lost");
	print_seconds(out, i->away_ms);
	g_string_append_printf(out, " attempts %u next", i->failures);
	if (i->is_dialling)
		g_string_append(out, " now");
	else if (i->next_ms < 0)
		g_string_append(out, " -");
	else
		print_seconds(out, i->next_ms);
	g_string_append_c(out, '\n');
}

static void show_retry(struct object *o, GString *out)
{
	const struct nexus *n = nexus_of_session(SESSION(o));
	struct revive_item item;

	for (unsigned i = 0; n && revive_item_at(n->revive, i, &item); i++)
		print_retry(&item, i ? "connection" : "session", out);
}

static void show_target(struct object *o, GString *out)
{
	attr_print_text(out, SESSION(o)->config.target_name);
}

static void show_isid(struct object *o, GString *out)
{
	const uint8_t *isid = SESSION(o)->config.isid;

	g_string_append_printf(out, "0x%02x%02x%02x%02x%02x%02x\n", isid[0], isid[1], isid[2],
			       isid[3], isid[4], isid[5]);
}

static void show_tsih(struct object *o, GString *out)
{
	g_string_append_printf(out, "%u\n", (unsigned)SESSION(o)->tsih);
}

static void show_auth(struct object *o, GString *out)
{
	static const char *const names[] = {
		[AUTH_NONE] = "none", [AUTH_CHAP] = "chap", [AUTH_MUTUAL] = "mutual"
	};

	attr_print_text(out, names[SESSION(o)->config.auth]);
}

static void show_logged_in(struct object *o, GString *out)
{
	attr_print_time(out, SESSION(o)->logged_in_us);
}

/* What the leading login agreed on: that of the oldest connection that is still there. */
static void show_params(struct object *o, GString *out)
{
	for (GList *l = SESSION(o)->conns; l; l = l->next) {
		const struct conn *c = l->data;

		if (!c->params)
			continue;
		g_string_append(out, c->params->str);
		return;
	}
}

static void show_stats(struct object *o, GString *out)
{
	const struct session *session = SESSION(o);
	const struct session_stats *s = &session->stats;

	attr_print_count(out, "commands", s->commands);
	attr_print_count(out, "read_bytes", s->read_bytes);
	attr_print_count(out, "write_bytes", s->write_bytes);
	attr_print_count(out, "queued", session->queue_count);
	attr_print_count(out, "outstanding", session->outstanding_count);
	attr_print_count(out, "failures", s->failures);
	attr_print_count(out, "timeouts", s->timeouts);
	attr_print_count(out, "window_waits", s->window_waits);
	attr_print_count(out, "logins", s->logins);
	attr_print_count(out, "resumes", s->resumes);
	attr_print_count(out, "conns_lost", s->conns_lost);
	attr_print_count(out, "conns_added", s->conns_added);
	attr_print_count(out, "retries", s->retries);
	attr_print_count(out, "reassigned", s->reassigned);
	attr_print_count(out, "reassign_refused", s->reassign_refused);
	attr_print_count(out, "aborts", s->aborts);
	attr_print_count(out, "lun_resets", s->lun_resets);
	attr_print_count(out, "target_resets", s->target_resets);
	attr_print_count(out, "restarts", s->restarts);
}

static void show_policy(struct object *o, GString *out)
{
	attr_print_text(out, policy_name(SESSION(o)->policy));
}

static void keep_policy(struct object *o, struct operation *op)
{
	const struct nexus *n = nexus_of_session(SESSION(o));

	policies_wait(n ? n->target->daemon->policies : NULL, op);
}

static gboolean store_policy(struct object *o, const char *value, GError **err)
{
	struct nexus *n = nexus_of_session(SESSION(o));
	enum policy policy;

	if (!tree_parse_policy(value, &policy, err))
		return FALSE;
	if (!n) {
		error_set_errno(err, ISDSC_INVALID_SESSION_ID, ENODEV, "the session has ended");
		return FALSE;
	}
	mcs_set_policy(n, policy);
	return TRUE;
}

static const struct attr session_attrs[] = {
	ATTR_README_ROW,
	ATTR_CTL_ROW,
	ATTR_ERROR_ROW,
	ATTR_STATUS_ROW,
	ATTR_FILE("state", ATTR_JSON_TEXT, show_state),
	ATTR_FILE("retry", ATTR_JSON_PAIRS, show_retry),
	ATTR_FILE("target", ATTR_JSON_TEXT, show_target),
	ATTR_FILE("isid", ATTR_JSON_TEXT, show_isid),
	ATTR_FILE("tsih", ATTR_JSON_NUMBER, show_tsih),
	ATTR_FILE("auth", ATTR_JSON_TEXT, show_auth),
	ATTR_FILE("logged_in", ATTR_JSON_TEXT, show_logged_in),
	{ "policy", ATTR_VALUE, .mode = 0644, .json = ATTR_JSON_TEXT, .show = show_policy,
	  .store = store_policy, .keep = keep_policy },
	ATTR_FILE("params", ATTR_JSON_PARAMS, show_params),
	ATTR_FILE("stats", ATTR_JSON_PAIRS, show_stats),
	ATTR_DIR_ROW("connections", conns_dir),
	{ 0 },
};

static void place_session(const struct object *o, GString *out)
{
	g_string_append_printf(out, "sessions/%u", SESSION(o)->sid);
}

const struct attr_dir tree_session_dir = {
	.name = "targets/IQN/sessions/SID",
	.attrs = session_attrs,
	.place = place_session,
	.readme =
		"A session.\n"
		"\n"
		"state         logged-in, retrying (no connection; I/O waits) ...\n"
		"retry         what is lost, since when, and when it is tried again\n"
		"target        whose session it is\n"
		"isid, tsih    our and the target's half of its identity\n"
		"auth          none, chap or mutual\n"
		"logged_in     since when\n"
		"params        KEY REQUESTED NEGOTIATED, a line a key of the leading login\n"
		"policy        which of several connections a command takes\n"
		"stats         counters\n"
		"connections/  a directory for each connection\n"
		"\n"
		"	echo logout > ctl || cat error\n",
};

static const struct attr session_row = {
	"SID", ATTR_DIR, .mode = 0555, .dir = &tree_session_dir
};

/* --- targets/IQN/sessions/ --- */

static bool list_target_sessions(const struct target *t, const struct attr *child,
				 struct attr_sink *s)
{
	for (GList *l = t->nexuses; l; l = l->next) {
		struct nexus *n = l->data;
		char name[sizeof("4294967295")];

		if (!n->session)
			continue;
		g_snprintf(name, sizeof(name), "%u", n->session->sid);
		if (!s->add(s, name, child, &n->session->obj))
			return false;
	}
	return true;
}

static bool list_sessions(struct object *o, const struct attr *child, struct attr_sink *s)
{
	return list_target_sessions(TARGET(o), child, s);
}

static const struct attr sessions_attrs[] = { ATTR_README_ROW, { 0 } };

const struct attr_dir tree_sessions_dir = {
	.name = "targets/IQN/sessions",
	.attrs = sessions_attrs,
	.list = list_sessions,
	.child = &session_row,
	.readme =
		"A directory for each session with this target. Numbers are never used twice.\n"
		"\n"
		"	cat */state\n",
};

/* --- sessions/ --- */

static void show_link(struct object *o, GString *out)
{
	g_string_append_printf(out, "../targets/%s/sessions/%u",
			       SESSION(o)->config.target_name, SESSION(o)->sid);
}

static const struct attr link_row = { "SID", ATTR_LINK, .mode = 0777, .show = show_link };

static bool list_all_sessions(struct object *o, const struct attr *child, struct attr_sink *s)
{
	for (GList *l = DAEMON(o)->targets; l; l = l->next)
		if (!list_target_sessions(l->data, child, s))
			return false;
	return true;
}

static const struct attr all_sessions_attrs[] = { ATTR_README_ROW, { 0 } };

const struct attr_dir tree_all_sessions_dir = {
	.name = "sessions",
	.attrs = all_sessions_attrs,
	.list = list_all_sessions,
	.child = &link_row,
	.readme =
		"A link to the directory of each session, by its number.\n"
		"\n"
		"	echo logout > 1/ctl\n",
};
