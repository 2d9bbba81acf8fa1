/* SPDX-License-Identifier: BSD-2-Clause */
/* Targets out of the answer to a query; isns_answer.h is the manual.
 *
 * Servers tell a portal once for each target that has it, and in any order, so all is gathered
 * first. A group without a tag says that the node cannot be reached there (RFC 4171 6.5.4). Where no
 * group is told of at all, the portals of a node's entity are taken for its own. */
#include "core/isns_answer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "core/isns_pdu.h"
#include "core/target.h"

#define OBJECTS_MAX 65536 /* portals, or groups, of an answer */
#define NAME_MAX_BYTES 1024 /* of a name as it came */
#define IS_UDP 0x10000u
#define TARGET_PORTALS_MAX (4 * OBJECTS_MAX) /* of all targets of an answer */

enum part { NOTHING, NODE, PORTAL, GROUP };

struct node {
	const char *name; /* in the payload */
	const char *alias;
	uint32_t type;
	unsigned entity;
};

struct place {
	char key[INET6_ADDRSTRLEN + sizeof(",65535")];
	char host[INET6_ADDRSTRLEN]; /* "": not (yet) told */
	uint32_t port;
	uint32_t security;
	unsigned entity;
};

struct group {
	const char *node;
	char host[INET6_ADDRSTRLEN];
	uint32_t port, tag;
	bool has_tag;
};

struct gathered {
	GArray *nodes, *places, *groups;
	GHashTable *node_names; /* those in @nodes */
	GPtrArray *bad; /* NULL: not asked for */
	unsigned entity;
	unsigned portals; /* of all targets */
	enum part now;
};

static void refuse(GError **err, const char *why)
{
	error_set_errno(err, ISDSC_NON_SPECIFIC_ERROR, EPROTO, "the answer is not understood: %s",
			why);
}

/* ---- gathering ---- */

static void tell_bad(GPtrArray *bad, const char *name, size_t len)
{
	if (bad && bad->len < ISNS_BAD_MAX)
		g_ptr_array_add(bad, text_escape(name, len, 256));
}

static void begin_node(struct gathered *g, const struct isns_attr *a)
{
	const char *name = isns_attr_text(a, NAME_MAX_BYTES);
	struct node n = { .name = name, .type = ISNS_IS_TARGET, .entity = g->entity };

	g->now = NOTHING;
	if (!name)
		tell_bad(g->bad, (const char *)a->value, a->len);
	if (!name || g_hash_table_contains(g->node_names, name))
		return;
	g_hash_table_add(g->node_names, (char *)name);
	g_array_append_val(g->nodes, n);
	g->now = NODE;
}

static void begin_place(struct gathered *g, const struct isns_attr *a)
{
	struct place p = { .entity = g->entity };

	g->now = NOTHING;
	if (!isns_attr_address(a, p.host))
		return;
	g_array_append_val(g->places, p);
	g->now = PORTAL;
}

static void begin_group(struct gathered *g, const struct isns_attr *a)
{
	struct group p = { .node = isns_attr_text(a, NAME_MAX_BYTES) };

	g->now = NOTHING;
	if (!p.node)
		return;
	g_array_append_val(g->groups, p);
	g->now = GROUP;
}

static void take_node_attr(struct gathered *g, const struct isns_attr *a)
{
	struct node *n = &g_array_index(g->nodes, struct node, g->nodes->len - 1);

	if (a->tag == ISNS_TAG_NODE_TYPE)
		isns_attr_number(a, &n->type);
	else if (a->tag == ISNS_TAG_ALIAS)
		n->alias = isns_attr_text(a, 256);
}

static void take_place_attr(struct gathered *g, const struct isns_attr *a)
{
	struct place *p = &g_array_index(g->places, struct place, g->places->len - 1);

	if (a->tag == ISNS_TAG_PORTAL_PORT)
		isns_attr_number(a, &p->port);
	else if (a->tag == ISNS_TAG_SECURITY)
		isns_attr_number(a, &p->security);
}

static void take_group_attr(struct gathered *g, const struct isns_attr *a)
{
	struct group *p = &g_array_index(g->groups, struct group, g->groups->len - 1);

	if (a->tag == ISNS_TAG_PG_ADDRESS) {
		if (!isns_attr_address(a, p->host))
			p->host[0] = '\0';
	} else if (a->tag == ISNS_TAG_PG_PORT) {
		isns_attr_number(a, &p->port);
	} else if (a->tag == ISNS_TAG_PG_TAG) {
		p->has_tag = isns_attr_number(a, &p->tag) && p->tag <= UINT16_MAX;
	}
}

static void take_attr(struct gathered *g, const struct isns_attr *a)
{
	static void (*const begin[])(struct gathered *, const struct isns_attr *) = {
		[ISNS_TAG_NODE] = begin_node,
		[ISNS_TAG_PORTAL_ADDRESS] = begin_place,
		[ISNS_TAG_PG_NODE] = begin_group,
	};
	static void (*const take[])(struct gathered *, const struct isns_attr *) = {
		[NODE] = take_node_attr,
		[PORTAL] = take_place_attr,
		[GROUP] = take_group_attr,
	};

	if (a->tag == ISNS_TAG_ENTITY) {
		g->entity++;
		g->now = NOTHING;
	} else if (a->tag < G_N_ELEMENTS(begin) && begin[a->tag]) {
		begin[a->tag](g, a);
	} else if (take[g->now]) {
		take[g->now](g, a);
	}
}

static gboolean gather(struct gathered *g, const uint8_t *payload, size_t len, GError **err)
{
	struct isns_cursor c = isns_attrs(payload, len);
	struct isns_attr a;

	/* The key of the query comes first, once more. */
	while (isns_next(&c, &a) && a.tag != ISNS_TAG_DELIMITER)
		;
	while (isns_next(&c, &a)) {
		take_attr(g, &a);
		if (g->nodes->len > ISNS_TARGETS_MAX || g->places->len > OBJECTS_MAX ||
		    g->groups->len > OBJECTS_MAX) {
			refuse(err, "too many targets or portals");
			return FALSE;
		}
	}
	if (c.is_bad)
		refuse(err, "an attribute longer than the message");
	return !c.is_bad;
}

/* ---- joining ---- */

static void clear_portal(void *p)
{
	g_free(((struct target_portal *)p)->host);
}

static void target_free(void *p)
{
	struct isns_target *t = p;

	g_free(t->name);
	g_free(t->alias);
	g_array_unref(t->portals);
	g_free(t);
}

static bool has_portal(const struct isns_target *t, const char *host, uint32_t port)
{
	for (unsigned i = 0; i < t->portals->len; i++) {
		const struct target_portal *p =
			&g_array_index(t->portals, struct target_portal, i);

		if (p->port == port && !strcmp(p->host, host))
			return true;
	}
	return false;
}

static void add_portal(struct gathered *g, struct isns_target *t, const char *host, uint32_t port,
		       int tpgt, uint32_t security)
{
	struct target_portal p = { .port = (uint16_t)port, .tpgt = tpgt, .security = security };

	if (!host[0] || !port || port >= IS_UDP || t->portals->len == ISNS_PORTALS_MAX ||
	    g->portals == TARGET_PORTALS_MAX || has_portal(t, host, port))
		return;
	g->portals++;
	p.host = g_strdup(host);
	g_array_append_val(t->portals, p);
}

static const char *place_key(char *out, size_t size, const char *host, uint32_t port)
{
	snprintf(out, size, "%s,%u", host, (unsigned)(port & 0xffff));
	return out;
}

static void add_groups(struct gathered *g, GHashTable *by_name)
{
	g_autoptr(GHashTable) security = g_hash_table_new(g_str_hash, g_str_equal);
	char key[sizeof(((struct place *)0)->key)];

	for (unsigned i = 0; i < g->places->len; i++) {
		struct place *p = &g_array_index(g->places, struct place, i);

		place_key(p->key, sizeof(p->key), p->host, p->port);
		g_hash_table_insert(security, p->key, GUINT_TO_POINTER(p->security));
	}
	for (unsigned i = 0; i < g->groups->len; i++) {
		const struct group *p = &g_array_index(g->groups, struct group, i);
		struct isns_target *t = g_hash_table_lookup(by_name, p->node);

		if (t && p->has_tag)
			add_portal(g, t, p->host, p->port, (int)p->tag,
				   GPOINTER_TO_UINT(g_hash_table_lookup(
					   security,
					   place_key(key, sizeof(key), p->host, p->port))));
	}
}

/* They are in the order of their entities, and a few of the entity's are enough. */
static void add_places(struct gathered *g, struct isns_target *t, unsigned entity)
{
	unsigned low = 0, high = g->places->len;

	while (low < high) {
		unsigned middle = low + (high - low) / 2;

		if (g_array_index(g->places, struct place, middle).entity < entity)
			low = middle + 1;
		else
			high = middle;
	}
	for (unsigned i = low; i < g->places->len && i < low + ISNS_PORTALS_MAX; i++) {
		const struct place *p = &g_array_index(g->places, struct place, i);

		if (p->entity != entity)
			break;
		add_portal(g, t, p->host, p->port, -1, p->security);
	}
}

/* NULL: it is not wanted. */
static struct isns_target *target_of(const struct node *n, const char *self, GPtrArray *ret_bad)
{
	g_autofree char *name = text_iscsi_name(n->name, NULL);
	struct isns_target *t;

	if (!(n->type & ISNS_IS_TARGET) || (name && self && !strcmp(name, self)))
		return NULL;
	if (!name) {
		tell_bad(ret_bad, n->name, strlen(n->name));
		return NULL;
	}
	t = g_new0(struct isns_target, 1);
	t->name = g_steal_pointer(&name);
	if (n->alias && n->alias[0] && g_utf8_validate(n->alias, -1, NULL))
		t->alias = g_strdup(n->alias);
	t->portals = g_array_new(FALSE, FALSE, sizeof(struct target_portal));
	g_array_set_clear_func(t->portals, clear_portal);
	return t;
}

/* By the names as they came: groups have these. */
static GPtrArray *join(struct gathered *g, const char *self, GPtrArray *ret_bad)
{
	g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func(target_free);
	g_autoptr(GHashTable) by_name = g_hash_table_new(g_str_hash, g_str_equal);
	g_autoptr(GHashTable) prepared = g_hash_table_new(g_str_hash, g_str_equal);
	GPtrArray *found = g_ptr_array_new_with_free_func(target_free);

	for (unsigned i = 0; i < g->nodes->len; i++) {
		const struct node *n = &g_array_index(g->nodes, struct node, i);
		struct isns_target *t = target_of(n, self, ret_bad);

		if (!t)
			continue;
		if (g_hash_table_contains(prepared, t->name)) { /* in other letters */
			target_free(t);
			continue;
		}
		g_ptr_array_add(all, t);
		g_hash_table_add(prepared, t->name);
		g_hash_table_insert(by_name, (char *)n->name, t);
		if (!g->groups->len)
			add_places(g, t, n->entity);
	}
	add_groups(g, by_name);
	if (g->portals == TARGET_PORTALS_MAX)
		log_warning("iSNS: an answer names too many portals: some targets are not taken");
	g_ptr_array_set_free_func(all, NULL);
	for (unsigned i = 0; i < all->len; i++) {
		struct isns_target *t = all->pdata[i];

		if (t->portals->len)
			g_ptr_array_add(found, t);
		else
			target_free(t);
	}
	return found;
}

GPtrArray *isns_answer_targets(const uint8_t *payload, size_t len, const char *self,
			       GPtrArray *ret_bad, GError **err)
{
	struct gathered g = {
		.nodes = g_array_new(FALSE, FALSE, sizeof(struct node)),
		.places = g_array_new(FALSE, FALSE, sizeof(struct place)),
		.groups = g_array_new(FALSE, FALSE, sizeof(struct group)),
		.node_names = g_hash_table_new(g_str_hash, g_str_equal),
		.bad = ret_bad,
	};
	GPtrArray *found = gather(&g, payload, len, err) ? join(&g, self, ret_bad) : NULL;

	g_array_unref(g.nodes);
	g_array_unref(g.places);
	g_array_unref(g.groups);
	g_hash_table_unref(g.node_names);
	return found;
}
