/* SPDX-License-Identifier: BSD-2-Clause */
/* The paths of a policy, given together: pathset.h is the manual. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "core/pathset.h"

const struct pathset_path *pathset_find(const GArray *paths, uint64_t id)
{
	for (unsigned i = 0; i < paths->len; i++) {
		const struct pathset_path *p = &g_array_index(paths, struct pathset_path, i);

		if (p->id == id)
			return p;
	}
	return NULL;
}

/* "ID[/ROLE][/WEIGHT]" */
static bool parse_path(const char *text, struct pathset_path *ret)
{
	g_auto(GStrv) part = g_strsplit(text, "/", 4);
	unsigned count = g_strv_length(part), next = 1;
	uint64_t weight;

	*ret = (struct pathset_path){ .weight = -1 };
	if (!count || text_parse_u64(part[0], 0, UINT32_MAX, &ret->id) < 0)
		return false;
	ret->is_standby = count > 1 && !strcmp(part[1], "standby");
	if (ret->is_standby || (count > 1 && !strcmp(part[1], "active")))
		next++;
	if (next == count)
		return true;
	if (text_parse_u64(part[next], 0, POLICY_WEIGHT_MAX, &weight) < 0)
		return false;
	ret->weight = (int)weight;
	return next + 1 == count;
}

GArray *pathset_parse(const char *text, GError **err)
{
	g_autoptr(GArray) paths = g_array_new(FALSE, FALSE, sizeof(struct pathset_path));
	g_auto(GStrv) part = g_strsplit(*text ? text : ",", ",", -1);

	for (char **p = part; *p; p++) {
		struct pathset_path path;

		if (!parse_path(*p, &path)) {
			g_autofree char *shown = text_escape(*p, strlen(*p), 64);

			error_set(err, ISDSC_INVALID_PARAMETER,
				  "paths: \"%s\" is no ID[/active|/standby][/WEIGHT]", shown);
			return NULL;
		}
		if (pathset_find(paths, path.id)) {
			error_set(err, ISDSC_DUPLICATE_PATH_SPECIFIED,
				  "paths: %" PRIu64 " is there twice", path.id);
			return NULL;
		}
		g_array_append_val(paths, path);
	}
	return g_steal_pointer(&paths);
}

static gboolean check_ids(const GArray *paths, const uint64_t *ids, unsigned count, GError **err)
{
	for (unsigned i = 0; i < paths->len; i++) {
		uint64_t id = g_array_index(paths, struct pathset_path, i).id;
		unsigned k = 0;

		while (k < count && ids[k] != id)
			k++;
		if (k < count)
			continue;
		error_set_errno(err, ISDSC_INVALID_PATH_ID, ENOENT,
				"paths: there is no path %" PRIu64, id);
		return FALSE;
	}
	if (paths->len == count)
		return TRUE;
	error_set(err, ISDSC_PATH_COUNT_MISMATCH,
		  "paths: %u given, and there are %u: each of them is wanted", paths->len, count);
	return FALSE;
}

gboolean pathset_check(const GArray *paths, enum policy policy, const uint64_t *ids,
		       unsigned count, GError **err)
{
	bool is_failover = policy == POLICY_FAILOVER;
	unsigned active = 0;

	if (!check_ids(paths, ids, count, err))
		return FALSE;
	for (unsigned i = 0; i < paths->len; i++)
		active += !g_array_index(paths, struct pathset_path, i).is_standby;
	if (is_failover && active > 1) {
		error_set(err, ISDSC_MULTIPLE_PRIMARY_PATHS_SPECIFIED,
			  "paths: %u are active, and with %s one is", active,
			  policy_name(policy));
		return FALSE;
	}
	if ((is_failover || policy == POLICY_ROUND_ROBIN_SUBSET) && !active) {
		error_set(err, ISDSC_NO_PRIMARY_PATH_SPECIFIED,
			  "paths: none is active, and %s wants one", policy_name(policy));
		return FALSE;
	}
	return TRUE;
}
