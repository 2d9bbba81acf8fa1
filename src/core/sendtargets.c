/* SPDX-License-Identifier: BSD-2-Clause */
/* The answer to SendTargets taken apart: records of TargetName and its TargetAddress keys (RFC
 * 7143 13.4, 13.8, appendix C). Everything comes from a peer that may be hostile: the work is
 * linear in the text, and what is kept of a record is bounded.
 *
 *   in            true                                               a TargetAddress
 *   no record     no TargetName yet                                  is a protocol error
 *   a record      @target is the one being told of                   is added to it
 *   too many      @target is NULL                                    is passed over
 *
 * A name that is none makes the whole answer invalid, as the users' guide has it (Node Names).
 * LIO tells the target again that straddled two PDUs: the pieces become one. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "core/discovery.h"
#include "iscsi/keys.h"

#define ALIAS_MAX 255 /* 13.6: iSCSI-local-name-value, 6.1 */
#define SHOWN_BYTES_MAX 250

struct parser {
	GPtrArray *found;
	GHashTable *by_name; /* found->name -> found */
	GPtrArray *bad;	     /* NULL: nobody wants to know */
	bool has_record;
	struct found_target *target;
};

static void clear_portal(void *data)
{
	struct target_portal *p = data;

	g_free(p->host);
}

static void found_free(void *data)
{
	struct found_target *f = data;

	g_free(f->name);
	g_free(f->alias);
	g_array_unref(f->portals);
	g_free(f);
}

/* @value as it came, printable. */
static void note_bad(struct parser *p, const char *what, const char *value)
{
	g_autofree char *shown = NULL;

	if (!p->bad || p->bad->len >= SENDTARGETS_BAD_MAX)
		return;
	shown = text_escape(value, strlen(value), SHOWN_BYTES_MAX);
	g_ptr_array_add(p->bad, g_strdup_printf("%s\"%s\"", what, shown));
}

static struct found_target *found_new(struct parser *p, char *name)
{
	struct found_target *f = g_new0(struct found_target, 1);

	f->name = name;
	f->portals = g_array_new(FALSE, FALSE, sizeof(struct target_portal));
	g_array_set_clear_func(f->portals, clear_portal);
	g_ptr_array_add(p->found, f);
	g_hash_table_insert(p->by_name, f->name, f);
	return f;
}

static gboolean take_name(struct parser *p, const char *value, GError **err)
{
	g_autofree char *name = text_iscsi_name(value, err);

	if (!name)
		return FALSE;
	p->has_record = true;
	p->target = g_hash_table_lookup(p->by_name, name);
	if (p->target)
		return TRUE;
	if (p->found->len < SENDTARGETS_TARGETS_MAX)
		p->target = found_new(p, g_steal_pointer(&name));
	else
		note_bad(p, "one target too many: ", value);
	return TRUE;
}

static bool has_portal(const struct found_target *f, const char *host, uint16_t port, int tpgt)
{
	for (unsigned i = 0; i < f->portals->len; i++) {
		const struct target_portal *p =
			&g_array_index(f->portals, struct target_portal, i);

		if (p->port == port && p->tpgt == tpgt && !strcmp(p->host, host))
			return true;
	}
	return false;
}

static gboolean take_address(struct parser *p, const char *value, GError **err)
{
	struct target_portal portal = { 0 };

	if (!p->has_record) {
		error_set(err, ISDSC_INVALID_SENDTARGETS_TEXT,
			  "TargetAddress before any TargetName");
		return FALSE;
	}
	if (!p->target)
		return TRUE;
	if (text_parse_portal(value, ISCSI_DEFAULT_PORT, &portal.host, &portal.port,
			      &portal.tpgt) < 0) {
		g_autofree char *what = g_strdup_printf("address of %s: ", p->target->name);

		note_bad(p, what, value);
		p->target->has_bad_address = true;
		return TRUE;
	}
	if (p->target->portals->len >= SENDTARGETS_PORTALS_MAX ||
	    has_portal(p->target, portal.host, portal.port, portal.tpgt))
		g_free(portal.host);
	else
		g_array_append_val(p->target->portals, portal);
	return TRUE;
}

/* Not allowed here (appendix C), but harmless, and some send it. */
static gboolean take_alias(struct parser *p, const char *value, GError **err)
{
	(void)err;
	if (p->target && !p->target->alias && strlen(value) <= ALIAS_MAX)
		p->target->alias = g_strdup(value);
	return TRUE;
}

static const struct {
	const char *key;
	gboolean (*take)(struct parser *p, const char *value, GError **err);
} takers[] = {
	{ "TargetName", take_name },
	{ "TargetAddress", take_address },
	{ "TargetAlias", take_alias },
};

static gboolean take_pair(void *arg, const char *key, const char *value, GError **err)
{
	for (size_t i = 0; i < G_N_ELEMENTS(takers); i++)
		if (!strcmp(takers[i].key, key))
			return takers[i].take(arg, value, err);
	error_set(err, ISDSC_INVALID_SENDTARGETS_TEXT, "%s has no place in it", key);
	return FALSE;
}

/* A target none of whose addresses could be understood cannot be reached: no address at all
 * would mean the one that was asked. */
static GPtrArray *only_reachable(GPtrArray *found)
{
	GPtrArray *kept = g_ptr_array_new_with_free_func(found_free);

	g_ptr_array_set_free_func(found, NULL);
	for (unsigned i = 0; i < found->len; i++) {
		struct found_target *f = found->pdata[i];

		if (f->has_bad_address && !f->portals->len)
			found_free(f);
		else
			g_ptr_array_add(kept, f);
	}
	g_ptr_array_set_size(found, 0);
	return kept;
}

GPtrArray *sendtargets_parse(const uint8_t *text, size_t len, GPtrArray *ret_bad, GError **err)
{
	g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func(found_free);
	g_autoptr(GHashTable) by_name = g_hash_table_new(g_str_hash, g_str_equal);
	struct parser p = { .found = found, .by_name = by_name, .bad = ret_bad };
	GError *cause = NULL;

	if (len && !keys_split(text, len, take_pair, &p, &cause)) {
		bool is_name = g_error_matches(cause, ERROR_ISDSC, ISDSC_INVALID_ISCSI_NAME);

		error_set_errno(err,
				is_name ? ISDSC_INVALID_ISCSI_NAME
					: ISDSC_INVALID_SENDTARGETS_TEXT,
				EPROTO, "invalid SendTargets answer: %s", cause->message);
		g_error_free(cause);
		return NULL;
	}
	return only_reachable(found);
}
