/* SPDX-License-Identifier: BSD-2-Clause */
/* Policies that are kept; the header is the manual. The file:
 *
 *   version = 1;
 *   targets = ( { name = "iqn..."; policy = "round-robin"; }, ... );
 *   disks = ( { name = "naa..."; policy = "failover"; }, ... );
 *
 * in the order in which they were set, so that the oldest can go. */
#include "core/policies.h"

#include <string.h>

#include "base/error.h"
#include "core/daemon.h"
#include "core/operation.h"
#include "core/statefile.h"

#define STATE_FILE "policies.conf"
#define NAME_BYTES_MAX 1024

struct entry {
	char *name;
	enum policy policy;
};

/* The writing that is under way last, and who waits for it. */
struct save {
	struct policies *policies; /* NULL: gone */
	GList *waiting;		   /* of struct operation * */
};

struct policies {
	struct daemon *daemon;
	GQueue order[2];      /* of struct entry *, oldest first */
	GHashTable *names[2]; /* name -> GList * in order[] */
	struct save *last;    /* NULL: all is on the disk */
};

static const char *const kinds[] = {
	[POLICIES_TARGETS] = "targets",
	[POLICIES_DISKS] = "disks",
};

/* ---- the list ---- */

static void entry_free(void *data)
{
	struct entry *e = data;

	g_free(e->name);
	g_free(e);
}

static void drop_oldest(struct policies *p, enum policies_kind kind)
{
	struct entry *e = g_queue_pop_head(&p->order[kind]);

	g_hash_table_remove(p->names[kind], e->name);
	entry_free(e);
}

/* False: it was so already. */
static bool put(struct policies *p, enum policies_kind kind, const char *name,
		enum policy policy)
{
	GList *link = g_hash_table_lookup(p->names[kind], name);
	struct entry *e = link ? link->data : NULL;

	if (e && e->policy == policy)
		return false;
	if (e) {
		g_queue_unlink(&p->order[kind], link);
		g_queue_push_tail_link(&p->order[kind], link);
		e->policy = policy;
		return true;
	}
	e = g_new0(struct entry, 1);
	e->name = g_strdup(name);
	e->policy = policy;
	g_queue_push_tail(&p->order[kind], e);
	g_hash_table_insert(p->names[kind], e->name, p->order[kind].tail);
	if (p->order[kind].length > POLICIES_MAX)
		drop_oldest(p, kind);
	return true;
}

static void clear(struct policies *p)
{
	for (unsigned k = 0; k < G_N_ELEMENTS(kinds); k++) {
		g_hash_table_remove_all(p->names[k]);
		g_queue_clear_full(&p->order[k], entry_free);
	}
}

/* ---- the file ---- */

static void put_string(config_setting_t *group, const char *key, const char *value)
{
	config_setting_set_string(config_setting_add(group, key, CONFIG_TYPE_STRING), value);
}

static void on_saved(void *arg, const GError *err)
{
	struct save *s = arg;

	if (s->policies && s->policies->last == s)
		s->policies->last = NULL;
	for (GList *l = s->waiting; l; l = l->next) {
		operation_finish(l->data, err ? g_error_copy(err) : NULL);
		operation_unref(l->data);
	}
	g_list_free(s->waiting);
	g_free(s);
}

static void save(struct policies *p)
{
	struct save *s = g_new0(struct save, 1);
	config_t cfg;

	config_init(&cfg);
	for (unsigned k = 0; k < G_N_ELEMENTS(kinds); k++) {
		config_setting_t *list = config_setting_add(config_root_setting(&cfg), kinds[k],
							    CONFIG_TYPE_LIST);

		for (GList *l = p->order[k].head; l; l = l->next) {
			const struct entry *e = l->data;
			config_setting_t *group =
				config_setting_add(list, NULL, CONFIG_TYPE_GROUP);

			put_string(group, "name", e->name);
			put_string(group, "policy", policy_name(e->policy));
		}
	}
	if (p->last)
		p->last->policies = NULL; /* a later one says how it went */
	s->policies = p;
	p->last = s;
	statefile_save(p->daemon, STATE_FILE, &cfg, on_saved, s);
	config_destroy(&cfg);
}

static const char *text_of(const config_setting_t *group, const char *key)
{
	const config_setting_t *s =
		config_setting_is_group(group) ? config_setting_get_member(group, key) : NULL;

	return s ? config_setting_get_string(s) : NULL;
}

static gboolean load_list(struct policies *p, enum policies_kind kind,
			  const config_setting_t *list)
{
	int count = config_setting_length(list);

	if (!config_setting_is_list(list) || count > POLICIES_MAX)
		return FALSE;
	for (int i = 0; i < count; i++) {
		const config_setting_t *group = config_setting_get_elem(list, (unsigned)i);
		const char *name = text_of(group, "name"), *text = text_of(group, "policy");
		enum policy policy;

		if (!name || !*name || strlen(name) > NAME_BYTES_MAX || !text ||
		    policy_parse(text, &policy) < 0)
			return FALSE;
		put(p, kind, name, policy);
	}
	return TRUE;
}

static void load(struct policies *p)
{
	config_t cfg;

	config_init(&cfg);
	if (statefile_read(p->daemon, STATE_FILE, &cfg) == 0)
		for (unsigned k = 0; k < G_N_ELEMENTS(kinds); k++) {
			const config_setting_t *list = config_lookup(&cfg, kinds[k]);

			if (!list || load_list(p, k, list))
				continue;
			clear(p);
			statefile_set_aside(p->daemon, STATE_FILE, "no list of policies");
			break;
		}
	config_destroy(&cfg);
}

/* ---- for the others ---- */

struct policies *policies_new(struct daemon *d)
{
	struct policies *p = g_new0(struct policies, 1);

	p->daemon = d;
	for (unsigned k = 0; k < G_N_ELEMENTS(kinds); k++) {
		g_queue_init(&p->order[k]);
		p->names[k] = g_hash_table_new(g_str_hash, g_str_equal);
	}
	load(p);
	return p;
}

void policies_free(struct policies *p)
{
	if (!p)
		return;
	if (p->last)
		p->last->policies = NULL;
	clear(p);
	for (unsigned k = 0; k < G_N_ELEMENTS(kinds); k++)
		g_hash_table_unref(p->names[k]);
	g_free(p);
}

void policies_set(struct policies *p, enum policies_kind kind, const char *name,
		  enum policy policy)
{
	if (p && *name && put(p, kind, name, policy))
		save(p);
}

bool policies_find(const struct policies *p, enum policies_kind kind, const char *name,
		   enum policy *ret)
{
	const GList *link = p ? g_hash_table_lookup(p->names[kind], name) : NULL;

	if (link)
		*ret = ((const struct entry *)link->data)->policy;
	return link;
}

void policies_wait(struct policies *p, struct operation *op)
{
	if (p && p->last)
		p->last->waiting = g_list_append(p->last->waiting, operation_ref(op));
	else
		operation_finish(op, NULL);
}
