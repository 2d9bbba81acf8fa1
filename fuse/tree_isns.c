/* SPDX-License-Identifier: BSD-2-Clause */
/* discovery/isns/: the iSNS servers. */
#include "fuse/tree.h"

#include "core/isns.h"

#define SERVER(o) container_of(o, struct isns_server, obj)

static void show_state(struct object *o, GString *out)
{
	attr_print_text(out, isns_state_name(SERVER(o)));
}

static void show_targets(struct object *o, GString *out)
{
	g_string_append_printf(out, "%u\n", SERVER(o)->targets_found);
}

static void show_last_ok(struct object *o, GString *out)
{
	attr_print_time(out, SERVER(o)->last_ok_us);
}

static void show_last_scn(struct object *o, GString *out)
{
	attr_print_time(out, SERVER(o)->last_scn_us);
}

static void show_options(struct object *o, GString *out)
{
	tree_print_options(&SERVER(o)->options, out);
}

static void print_portal(const struct isns_registration *r, GString *out)
{
	struct sockaddr_storage portal = r->portal;
	g_autofree char *text = NULL;

	/* In the same place in both families. */
	((struct sockaddr_in *)(void *)&portal)->sin_port = htons(r->port);
	text = conn_format_address(&portal);
	g_string_append_printf(out, "portal %s\n", text);
}

/* Nothing while it has nothing of us. */
static void show_registered(struct object *o, GString *out)
{
	const struct isns_registration *r = &SERVER(o)->registered;

	if (!r->is_there)
		return;
	g_string_append(out, "entity ");
	attr_print_text(out, r->entity);
	g_string_append(out, "node ");
	attr_print_text(out, r->node);
	if (r->port)
		print_portal(r, out);
	g_string_append_printf(out, "period %u\nesi_interval %u\nscn %s\n", (unsigned)r->period_s,
			       (unsigned)r->esi_s, r->is_subscribed ? "yes" : "no");
}

static const struct attr server_attrs[] = {
	ATTR_README_ROW,
	ATTR_CTL_ROW,
	ATTR_ERROR_ROW,
	ATTR_STATUS_ROW,
	ATTR_FILE("state", ATTR_JSON_TEXT, show_state),
	ATTR_FILE("targets", ATTR_JSON_NUMBER, show_targets),
	ATTR_FILE("last_ok", ATTR_JSON_TEXT, show_last_ok),
	ATTR_FILE("last_scn", ATTR_JSON_TEXT, show_last_scn),
	ATTR_FILE("registered", ATTR_JSON_PAIRS, show_registered),
	ATTR_FILE("options", ATTR_JSON_PAIRS, show_options),
	{ 0 },
};

static void place_server(const struct object *o, GString *out)
{
	g_string_append_printf(out, "discovery/isns/%s", SERVER(o)->name);
}

static const struct attr_dir server_dir = {
	.name = "discovery/isns/ADDR:PORT",
	.attrs = server_attrs,
	.place = place_server,
	.readme =
		"An iSNS server: this initiator is registered there, and it tells of targets.\n"
		"\n"
		"state       ok, failed, or what is being done there\n"
		"targets     how many targets it told of\n"
		"last_ok     when that was\n"
		"last_scn    when it last told that something has changed\n"
		"registered  what it knows of us\n"
		"options     what was given with add-isns; used for logins\n"
		"\n"
		"	echo refresh > ctl\n",
};

static const struct attr server_row = {
	"ADDR:PORT", ATTR_DIR, .mode = 0555, .dir = &server_dir
};

static bool list_servers(struct object *o, const struct attr *child, struct attr_sink *s)
{
	for (GList *l = container_of(o, struct discovery, obj)->isns_servers; l; l = l->next) {
		struct isns_server *i = l->data;

		if (!s->add(s, i->name, child, &i->obj))
			return false;
	}
	return true;
}

static const struct attr servers_attrs[] = { ATTR_README_ROW, { 0 } };

const struct attr_dir tree_isns_dir = {
	.name = "discovery/isns",
	.attrs = servers_attrs,
	.list = list_servers,
	.child = &server_row,
	.readme =
		"A directory for each iSNS server.\n"
		"\n"
		"	echo 'add-isns 10.0.0.6' > ../ctl\n",
};
