/* SPDX-License-Identifier: BSD-2-Clause */
/* LUNs: what they tell of themselves; and by-id/ with a link to each by its worldwide name. The
 * data file `disk` is served by blkio.c. */
#include "fuse/tree.h"

#include <string.h>

#include "base/error.h"
#include "core/policies.h"
#include "core/attach.h"
#include "core/daemon.h"
#include "core/lun.h"
#include "core/reservation.h"
#include "core/passthrough.h"
#include "core/target.h"

#define DAEMON(o) container_of(o, struct daemon, obj)
#define LUN(o) container_of(o, struct lun, obj)
#define TYPE_DISK 0x00

/* --- targets/IQN/lunN/ --- */

/* With expose=none nothing but its INQUIRY data, its size and the list of units is asked for. */
static bool is_exposed(const struct object *o)
{
	return target_expose(container_of(o, const struct lun, obj)->target) != EXPOSE_NONE;
}

static bool has_disk(const struct object *o)
{
	const struct lun *l = container_of(o, const struct lun, obj);

	return l->has_disk && is_exposed(o);
}

/* Not only a disk that is ready: a reservation may be what is in the way of its being so. */
static bool can_be_reserved(const struct object *o)
{
	return container_of(o, const struct lun, obj)->inquiry.type == TYPE_DISK && is_exposed(o);
}

static void show_state(struct object *o, GString *out)
{
	attr_print_text(out, lun_state_name(LUN(o)));
}

static void show_size(struct object *o, GString *out)
{
	if (LUN(o)->has_disk)
		g_string_append_printf(out, "%" G_GUINT64_FORMAT "\n",
				       (guint64)disk_bytes(LUN(o)->disk));
	else
		attr_print_text(out, NULL);
}

static void show_block_size(struct object *o, GString *out)
{
	if (LUN(o)->has_disk)
		g_string_append_printf(out, "%u\n", (unsigned)LUN(o)->disk->block_bytes);
	else
		attr_print_text(out, NULL);
}

/* Numbers are the target's, or chosen at login. */
static void show_mapping(struct object *o, GString *out)
{
	uint32_t number;

	if (lun_decode(LUN(o)->wire, &number) == 0)
		attr_print_count(out, "target_lun", number);
	attr_print_count(out, "lun", LUN(o)->number);
}

static void show_block(struct object *o, GString *out)
{
	attr_print_text(out, attach_device(LUN(o)));
}

static void show_vendor(struct object *o, GString *out)
{
	attr_print_text(out, LUN(o)->inquiry.vendor);
}

static void show_product(struct object *o, GString *out)
{
	attr_print_text(out, LUN(o)->inquiry.product);
}

static void show_revision(struct object *o, GString *out)
{
	attr_print_text(out, LUN(o)->inquiry.revision);
}

static void show_serial(struct object *o, GString *out)
{
	attr_print_text(out, LUN(o)->serial);
}

static void show_wwid(struct object *o, GString *out)
{
	attr_print_text(out, LUN(o)->wwid);
}

static void show_type(struct object *o, GString *out)
{
	attr_print_text(out, inquiry_type_name(LUN(o)->inquiry.type));
}

static void show_policy(struct object *o, GString *out)
{
	attr_print_text(out, policy_name(LUN(o)->disk->policy));
}

/* Of the disk: other LUNs that are the same one have it as well. */
static void keep_policy(struct object *o, struct operation *op)
{
	policies_wait(LUN(o)->target->daemon->policies, op);
}

static gboolean store_policy(struct object *o, const char *value, GError **err)
{
	enum policy policy;

	return tree_parse_policy(value, &policy, err) && lun_set_policy(LUN(o), value, err);
}

static void show_cache(struct object *o, GString *out)
{
	attr_print_text(out, cache_mode_name(LUN(o)->cache));
}

/* Whether writes may be late is the mount's to say. */
static gboolean store_cache(struct object *o, const char *value, GError **err)
{
	enum cache_mode mount = LUN(o)->target->daemon->conf.cache, mode;

	if (!cache_mode_parse(value, &mode)) {
		error_set(err, ISDSC_INVALID_PARAMETER, "cache: none, through or back");
		return FALSE;
	}
	if (mode != CACHE_NONE && (mode == CACHE_BACK) != (mount == CACHE_BACK)) {
		error_set_errno(err, ISDSC_REQUEST_NOT_SUPPORTED, EOPNOTSUPP,
				"the tree was mounted with cache=%s: with it a LUN has that, or "
				"none; for the other mount with -o cache=%s",
				cache_mode_name(mount), value);
		return FALSE;
	}
	LUN(o)->cache = mode;
	return TRUE;
}

static void show_write_cache(struct object *o, GString *out)
{
	const struct mode_caching *m = &LUN(o)->mode;

	attr_print_text(out, !m->has_page ? NULL : m->write_cache ? "yes" : "no");
}

static void show_fua(struct object *o, GString *out)
{
	attr_print_text(out, LUN(o)->mode.has_dpo_fua ? "yes" : "no");
}

/* How it makes holes and zeros: disk_range.h. */
static void show_provisioning(struct object *o, GString *out)
{
	const struct lun *l = LUN(o);
	const struct disk_provision *p = &l->disk->provision;

	g_string_append_printf(out, "type %s\n",
			       !l->capacity.is_thin	    ? "thick"
			       : l->provisioning.type == 1 ? "resource"
							    : "thin");
	g_string_append_printf(out, "holes %s\n", disk_provision_can(p, true) ? "yes" : "no");
	g_string_append_printf(out, "zeros %s\n", disk_provision_can(p, false) ? "yes" : "no");
	g_string_append_printf(out, "holes_are_zeros %s\n", p->has_zeros ? "yes" : "no");
	attr_print_count(out, "granularity", (uint64_t)p->granularity * l->disk->block_bytes);
}

static void show_stats(struct object *o, GString *out)
{
	const struct lun *l = LUN(o);
	const struct disk_stats *s = &l->disk->stats;

	attr_print_count(out, "reads", s->reads);
	attr_print_count(out, "writes", s->writes);
	attr_print_count(out, "flushes", s->flushes);
	attr_print_count(out, "read_bytes", s->read_bytes);
	attr_print_count(out, "write_bytes", s->write_bytes);
	attr_print_count(out, "punches", s->punches);
	attr_print_count(out, "punched_bytes", s->punched_bytes);
	attr_print_count(out, "zeroes", s->zeroes);
	attr_print_count(out, "zeroed_bytes", s->zeroed_bytes);
	attr_print_count(out, "seeks", s->seeks);
	attr_print_count(out, "copies", s->copies);
	attr_print_count(out, "copied_bytes", s->copied_bytes);
	attr_print_count(out, "unaligned", s->unaligned);
	attr_print_count(out, "retries", s->retries);
	attr_print_count(out, "errors", s->errors);
	attr_print_count(out, "active", l->has_disk ? l->disk->active_count : 0);
	attr_print_count(out, "opens", l->open_count);
}

static const struct attr lun_attrs[] = {
	ATTR_README_ROW,
	ATTR_CTL_ROW,
	ATTR_ERROR_ROW,
	ATTR_STATUS_ROW,
	{ "disk", ATTR_DISK, .mode = 0644, .is_shown = has_disk },
	{ "block", ATTR_VALUE, .mode = 0444, .json = ATTR_JSON_TEXT, .show = show_block,
	  .is_shown = has_disk },
	ATTR_FILE("mapping", ATTR_JSON_PAIRS, show_mapping),
	ATTR_FILE("state", ATTR_JSON_TEXT, show_state),
	ATTR_FILE("size", ATTR_JSON_NUMBER, show_size),
	ATTR_FILE("block_size", ATTR_JSON_NUMBER, show_block_size),
	ATTR_FILE("vendor", ATTR_JSON_TEXT, show_vendor),
	ATTR_FILE("product", ATTR_JSON_TEXT, show_product),
	ATTR_FILE("revision", ATTR_JSON_TEXT, show_revision),
	ATTR_FILE("serial", ATTR_JSON_TEXT, show_serial),
	ATTR_FILE("wwid", ATTR_JSON_TEXT, show_wwid),
	ATTR_FILE("type", ATTR_JSON_TEXT, show_type),
	{ "policy", ATTR_VALUE, .mode = 0644, .json = ATTR_JSON_TEXT, .show = show_policy,
	  .store = store_policy, .keep = keep_policy },
	ATTR_SETTING("cache", ATTR_JSON_TEXT, show_cache, store_cache),
	{ "write_cache", ATTR_VALUE, .mode = 0444, .show = show_write_cache,
	  .is_shown = has_disk },
	{ "fua", ATTR_VALUE, .mode = 0444, .show = show_fua, .is_shown = has_disk },
	{ "provisioning", ATTR_VALUE, .mode = 0444, .json = ATTR_JSON_PAIRS,
	  .show = show_provisioning, .is_shown = has_disk },
	ATTR_FILE("stats", ATTR_JSON_PAIRS, show_stats),
	{ "reservations", ATTR_CTL, .mode = 0644, .is_shown = can_be_reserved,
	  .verbs = reservation_verbs, .fetch = reservation_list },
	{ "scsi", ATTR_CTL, .mode = 0600, .verbs = passthrough_verbs, .is_owners = true,
	  .is_shown = is_exposed },
	ATTR_DIR_ROW("paths", tree_paths_dir),
	{ 0 },
};

static void place_lun(const struct object *o, GString *out)
{
	g_string_append_printf(out, "targets/%s/lun%u", LUN(o)->target->name,
			       (unsigned)LUN(o)->number);
}

const struct attr_dir tree_lun_dir = {
	.name = "targets/IQN/lunN",
	.attrs = lun_attrs,
	.place = place_lun,
	.readme =
		"A logical unit.\n"
		"\n"
		"disk        its blocks, to read and write; mode 0444 when write protected\n"
		"block       the loop device over it, with expose=block or by `attach`\n"
		"size        in bytes, block_size: of one block\n"
		"mapping     the target's number for it, and the one here\n"
		"state       ready, not-ready ...\n"
		"vendor, product, revision, serial, type: what it tells of itself\n"
		"wwid        its worldwide name, as in /by-id\n"
		"policy      which of several paths a command takes\n"
		"cache       what this host keeps in memory of it: none, through or back\n"
		"write_cache whether the target has one, which fsync empties; fua: ... or not\n"
		"provisioning: thin or thick, and whether holes can be made\n"
		"stats       counters\n"
		"reservations: who has it; `register KEY`, `reserve TYPE` ... written to it\n"
		"scsi        SCSI commands, one a line; reading it tells how\n"
		"paths/      a directory for each session by which it is reached\n"
		"\n"
		"	dd if=disk of=/dev/null bs=1M count=100 iflag=direct\n"
		"	losetup -f --show --direct-io=on disk\n"
		"	echo round-robin > policy; cat paths/all\n",
};

/* --- by-id/ --- */

static void show_link(struct object *o, GString *out)
{
	g_string_append(out, "../");
	place_lun(o, out);
}

static const struct attr link_row = { "WWID", ATTR_LINK, .mode = 0777, .show = show_link };

/* A name from outside that can be a file name, and none of ours. */
static bool is_file_name(const char *name)
{
	return *name && *name != '.' && !strchr(name, '/') && strcmp(name, "README") &&
	       strlen(name) <= 255;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

static bool list_wwids(struct object *o, const struct attr *child, struct attr_sink *s)
{
	GHashTable *luns = DAEMON(o)->luns_by_wwid;
	GList *names = g_list_sort(g_hash_table_get_keys(luns), compare_names);
	bool is_more = true;

	for (GList *l = names; l && is_more; l = l->next) {
		struct lun *lun = g_hash_table_lookup(luns, l->data);

		if (is_file_name(l->data))
			is_more = s->add(s, l->data, child, &lun->obj);
	}
	g_list_free(names);
	return is_more;
}

static struct object *find_wwid(struct object *o, const char *name)
{
	struct lun *lun = g_hash_table_lookup(DAEMON(o)->luns_by_wwid, name);

	return lun && is_file_name(name) ? &lun->obj : NULL;
}

static const struct attr by_id_attrs[] = { ATTR_README_ROW, { 0 } };

const struct attr_dir tree_by_id_dir = {
	.name = "by-id",
	.attrs = by_id_attrs,
	.list = list_wwids,
	.find = find_wwid,
	.child = &link_row,
	.readme =
		"A link to the directory of each LUN, by its worldwide name.\n"
		"\n"
		"	ls -l\n",
};
