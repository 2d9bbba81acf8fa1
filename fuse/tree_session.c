/* SPDX-License-Identifier: BSD-2-Clause */
/* Sessions and their connections, and sessions/ with a link to each by its number. */
#include "fuse/tree.h"

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
	attr_print_count(out, "digest_errors", s->digest_errors);
	attr_print_count(out, "protocol_errors", s->protocol_errors);
	attr_print_count(out, "nop_timeouts", s->nop_timeouts);
	attr_print_count(out, "pings", s->pings);
	attr_print_count(out, "pings_answered", s->pings_answered);
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
		"params  KEY REQUESTED NEGOTIATED, a line a key of the login\n"
		"stats   counters\n"
		"\n"
		"	cat params\n",
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
	attr_print_text(out, session_state_name(SESSION(o)->state));
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
}

static const struct attr session_attrs[] = {
	ATTR_README_ROW,
	ATTR_CTL_ROW,
	ATTR_ERROR_ROW,
	ATTR_STATUS_ROW,
	ATTR_FILE("state", ATTR_JSON_TEXT, show_state),
	ATTR_FILE("target", ATTR_JSON_TEXT, show_target),
	ATTR_FILE("isid", ATTR_JSON_TEXT, show_isid),
	ATTR_FILE("tsih", ATTR_JSON_NUMBER, show_tsih),
	ATTR_FILE("auth", ATTR_JSON_TEXT, show_auth),
	ATTR_FILE("logged_in", ATTR_JSON_TEXT, show_logged_in),
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
		"state         of RFC 7143 8.3\n"
		"target        whose session it is\n"
		"isid, tsih    our and the target's half of its identity\n"
		"auth          none, chap or mutual\n"
		"logged_in     since when\n"
		"params        KEY REQUESTED NEGOTIATED, a line a key of the leading login\n"
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
