/* SPDX-License-Identifier: BSD-2-Clause */
/* Two tables, one for each direction; mapping.h is the manual. */
#include "core/mapping.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"

struct mapping {
	char *text;
	GHashTable *by_lun;    /* target's number -> shown number */
	GHashTable *by_number; /* shown number -> target's number */
};

void mapping_free(struct mapping *m)
{
	if (!m)
		return;
	g_hash_table_unref(m->by_lun);
	g_hash_table_unref(m->by_number);
	g_free(m->text);
	g_free(m);
}

static gboolean parse_number(const char *text, const char *pair, uint32_t *ret, GError **err)
{
	uint64_t number;
	int r = text_parse_u64(text, 0, MAPPING_LUN_MAX, &number);

	if (r == 0) {
		*ret = (uint32_t)number;
		return TRUE;
	}
	if (r == -ERANGE)
		error_set_errno(err, ISDSC_TARGET_MAPPING_OUT_OF_RANGE, EINVAL,
				"\"%s\": numbers go up to %u", pair, MAPPING_LUN_MAX);
	else
		error_set(err, ISDSC_INVALID_TARGET_MAPPING,
			  "\"%s\" is no TARGET_LUN:NUMBER, as in 3:11", pair);
	return FALSE;
}

static gboolean add_pair(struct mapping *m, const char *pair, GError **err)
{
	g_auto(GStrv) words = g_strsplit(pair, ":", 3);
	bool is_pair = g_strv_length(words) == 2;
	uint32_t lun, number;

	if (!parse_number(is_pair ? words[0] : "", pair, &lun, err) ||
	    !parse_number(words[1], pair, &number, err))
		return FALSE;
	if (g_hash_table_contains(m->by_lun, GUINT_TO_POINTER(lun)))
		error_set(err, ISDSC_INVALID_TARGET_MAPPING, "LUN %u is in it twice", lun);
	else if (g_hash_table_contains(m->by_number, GUINT_TO_POINTER(number)))
		error_set(err, ISDSC_INVALID_TARGET_MAPPING, "number %u is given twice",
			  number);
	else
		return g_hash_table_insert(m->by_lun, GUINT_TO_POINTER(lun),
					   GUINT_TO_POINTER(number)) &&
		       g_hash_table_insert(m->by_number, GUINT_TO_POINTER(number),
					   GUINT_TO_POINTER(lun));
	return FALSE;
}

struct mapping *mapping_parse(const char *text, GError **err)
{
	g_auto(GStrv) pairs = g_strsplit(*text ? text : " ", ",", -1);
	struct mapping *m = g_new0(struct mapping, 1);

	m->text = g_strdup(text);
	m->by_lun = g_hash_table_new(NULL, NULL);
	m->by_number = g_hash_table_new(NULL, NULL);
	for (char **pair = pairs; *pair; pair++) {
		if (add_pair(m, *pair, err))
			continue;
		mapping_free(m);
		return NULL;
	}
	return m;
}

struct mapping *mapping_copy(const struct mapping *m)
{
	return m ? mapping_parse(m->text, NULL) : NULL;
}

bool mapping_find(const struct mapping *m, uint32_t lun, uint32_t *ret_number)
{
	gpointer number;

	if (m && g_hash_table_lookup_extended(m->by_lun, GUINT_TO_POINTER(lun), NULL, &number))
		*ret_number = GPOINTER_TO_UINT(number);
	else if (m && g_hash_table_contains(m->by_number, GUINT_TO_POINTER(lun)))
		return false;
	else
		*ret_number = lun;
	return true;
}

bool mapping_is_same(const struct mapping *a, const struct mapping *b)
{
	GHashTableIter iter;
	gpointer lun, number;
	uint32_t other;

	if (!a || !b)
		return a == b;
	if (g_hash_table_size(a->by_lun) != g_hash_table_size(b->by_lun))
		return false;
	g_hash_table_iter_init(&iter, a->by_lun);
	while (g_hash_table_iter_next(&iter, &lun, &number))
		if (!g_hash_table_contains(b->by_lun, lun) ||
		    !mapping_find(b, GPOINTER_TO_UINT(lun), &other) ||
		    other != GPOINTER_TO_UINT(number))
			return false;
	return true;
}
