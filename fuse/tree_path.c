/* SPDX-License-Identifier: BSD-2-Clause */
/* targets/IQN/lunN/paths/: the ways to a LUN, one a session of its target; and how roles and
 * weights are shown and set, here and in the directories of connections. */
#include "fuse/tree.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "core/disk.h"
#include "core/lun.h"
#include "core/target.h"

#define LUN(o) container_of(o, struct lun, obj)
#define PATH(o) container_of(o, struct path, obj)

/* --- roles, weights, policies --- */

void tree_show_role(const struct lane *l, GString *out)
{
	attr_print_text(out, l->is_standby ? "standby" : "active");
}

void tree_show_weight(const struct lane *l, GString *out)
{
	g_string_append_printf(out, "%u\n", l->weight);
}

gboolean tree_parse_role(const char *value, bool *ret_is_standby, GError **err)
{
	bool is_standby = !strcmp(value, "standby");

	if (!is_standby && strcmp(value, "active") != 0) {
		error_set(err, ISDSC_INVALID_PARAMETER, "a role is active or standby");
		return FALSE;
	}
	*ret_is_standby = is_standby;
	return TRUE;
}

gboolean tree_parse_weight(const char *value, unsigned *ret, GError **err)
{
	uint64_t weight;

	if (text_parse_u64(value, 0, POLICY_WEIGHT_MAX, &weight) < 0) {
		error_set(err, ISDSC_INVALID_PARAMETER, "a weight is a number from 0 to %d",
			  POLICY_WEIGHT_MAX);
		return FALSE;
	}
	*ret = (unsigned)weight;
	return TRUE;
}

gboolean tree_parse_policy(const char *value, enum policy *ret, GError **err)
{
	g_autoptr(GString) known = NULL;

	if (policy_parse(value, ret) == 0)
		return TRUE;
	known = g_string_new(policy_name(0));
	for (unsigned i = 1; i < POLICIES; i++)
		g_string_append_printf(known, ", %s", policy_name((enum policy)i));
	error_set_errno(err, ISDSC_INVALID_LOAD_BALANCE_POLICY, EINVAL,
			"a policy is one of: %s", known->str);
	return FALSE;
}

/* --- paths/SID/ --- */

static void show_state(struct object *o, GString *out)
{
	attr_print_text(out, path_state_name(PATH(o)->state));
}

static void show_since(struct object *o, GString *out)
{
	attr_print_time(out, PATH(o)->since_us);
}

static void show_portal(struct object *o, GString *out)
{
	const struct nexus *n = nexus_of_session(PATH(o)->session);

	attr_print_text(out, n ? n->portal : NULL);
}

static void show_role(struct object *o, GString *out)
{
	tree_show_role(&PATH(o)->lane, out);
}

static void show_weight(struct object *o, GString *out)
{
	tree_show_weight(&PATH(o)->lane, out);
}

/* @role NULL, @weight -1: as it is. */
static gboolean set(struct object *o, const char *role, int64_t weight, GError **err)
{
	const struct path *p = PATH(o);
	g_autofree char *sid = g_strdup_printf("%u", p->session->sid);

	return lun_set_path(p->lun, sid, role, weight, err);
}

static gboolean store_role(struct object *o, const char *value, GError **err)
{
	bool is_standby;

	return tree_parse_role(value, &is_standby, err) && set(o, value, -1, err);
}

static gboolean store_weight(struct object *o, const char *value, GError **err)
{
	unsigned weight;

	return tree_parse_weight(value, &weight, err) && set(o, NULL, weight, err);
}

static void print_number(GString *out, const char *name, bool is_told, unsigned value)
{
	if (is_told)
		attr_print_count(out, name, value);
	else
		g_string_append_printf(out, "%s -\n", name);
}

static void show_alua(struct object *o, GString *out)
{
	static const char *const who[] = { "none", "implicit", "explicit", "both" };
	const struct path *p = PATH(o);

	g_string_append_printf(out, "tpgs %s\n", who[p->tpgs & 3]);
	g_string_append_printf(out, "access %s\n",
			       p->tpgs ? alua_access_name(p->access) : "-");
	print_number(out, "group", p->port.has_group, p->port.group);
	print_number(out, "port", p->port.has_port, p->port.port);
}

static void show_stats(struct object *o, GString *out)
{
	const struct path *p = PATH(o);

	attr_print_count(out, "commands", p->stats.ios);
	attr_print_count(out, "outstanding", p->lane.in_flight);
	attr_print_count(out, "errors", p->stats.errors);
	attr_print_count(out, "failures", p->stats.failures);
	attr_print_count(out, "recoveries", p->stats.recoveries);
}

static const struct attr path_attrs[] = {
	ATTR_README_ROW,
	ATTR_ERROR_ROW,
	ATTR_STATUS_ROW,
	ATTR_FILE("state", ATTR_JSON_TEXT, show_state),
	ATTR_FILE("since", ATTR_JSON_TEXT, show_since),
	ATTR_FILE("portal", ATTR_JSON_TEXT, show_portal),
	ATTR_SETTING("role", ATTR_JSON_TEXT, show_role, store_role),
	ATTR_SETTING("weight", ATTR_JSON_NUMBER, show_weight, store_weight),
	ATTR_FILE("alua", ATTR_JSON_PAIRS, show_alua),
	ATTR_FILE("stats", ATTR_JSON_PAIRS, show_stats),
	{ 0 },
};

static void place_path(const struct object *o, GString *out)
{
	const struct path *p = container_of(o, const struct path, obj);

	if (p->lun)
		g_string_append_printf(out, "targets/%s/lun%u/", p->lun->target->name,
				       (unsigned)p->lun->number);
	g_string_append_printf(out, "paths/%u", p->session->sid);
}

static const struct attr_dir path_dir = {
	.name = "targets/IQN/lunN/paths/SID",
	.attrs = path_attrs,
	.place = place_path,
	.readme =
		"The way to the LUN by one session.\n"
		"\n"
		"state   optimized, non-optimized: used; standby, failed, lost ...: not\n"
		"since   when it took that state\n"
		"portal  where the session is logged in\n"
		"role    active, or standby: used when no active one is left\n"
		"weight  of the policy `weighted`: the lowest is used\n"
		"alua    what the target says of it\n"
		"stats   counters\n"
		"\n"
		"	echo standby > role\n"
		"	echo 10 > weight\n",
};

static const struct attr path_row = { "SID", ATTR_DIR, .mode = 0555, .dir = &path_dir };

/* --- paths/ --- */

static bool list_paths(struct object *o, const struct attr *child, struct attr_sink *s)
{
	struct lun *lun = LUN(o);

	list_for_each(pos, &lun->disk->paths) {
		struct path *p = list_entry(pos, struct path, link);
		char name[sizeof("4294967295")];

		if (p->lun != lun)
			continue; /* in the directory of its own LUN */
		g_snprintf(name, sizeof(name), "%u", p->session->sid);
		if (!s->add(s, name, child, &p->obj))
			return false;
	}
	return true;
}

/* "SID STATE ROLE WEIGHT PORTAL DIRECTORY" */
static void show_all(struct object *o, GString *out)
{
	list_for_each(pos, &LUN(o)->disk->paths) {
		const struct path *p = list_entry(pos, struct path, link);
		const struct nexus *n = nexus_of_session(p->session);

		g_string_append_printf(out, "%u %s %s %u %s ", p->session->sid,
				       path_state_name(p->state),
				       p->lane.is_standby ? "standby" : "active",
				       p->lane.weight, n ? n->portal : "-");
		place_path(&p->obj, out);
		g_string_append_c(out, '\n');
	}
}

static const struct attr paths_attrs[] = {
	ATTR_README_ROW,
	ATTR_FILE("all", ATTR_JSON_LINES, show_all),
	{ 0 },
};

const struct attr_dir tree_paths_dir = {
	.name = "targets/IQN/lunN/paths",
	.attrs = paths_attrs,
	.list = list_paths,
	.child = &path_row,
	.readme =
		"A directory for each session by which the LUN is reached.\n"
		"\n"
		"all  a line for each path to the disk, by other targets too:\n"
		"     SID STATE ROLE WEIGHT PORTAL DIRECTORY\n"
		"\n"
		"	cat all\n",
};
