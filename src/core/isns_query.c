/* SPDX-License-Identifier: BSD-2-Clause */
/* The query for targets, all at once or one by one; isns_query.h is the manual. */
#include "core/isns_query.h"

#include <errno.h>

#include "base/error.h"
#include "core/isns_answer.h"

#define NAME_MAX_BYTES 256 /* longer ones are no names, and cannot be asked for */

static GByteArray *begin(struct isns_query *q, enum isns_function f, enum isns_query_state state)
{
	GByteArray *m = isns_client_begin(q->client, f, 0);

	q->state = state;
	q->asked_count++;
	isns_put_text(m, ISNS_TAG_NODE, q->node);
	return m;
}

static void put_wanted(GByteArray *m)
{
	static const uint32_t wanted[] = {
		ISNS_TAG_ENTITY, ISNS_TAG_NODE, ISNS_TAG_NODE_TYPE, ISNS_TAG_ALIAS,
		ISNS_TAG_PORTAL_ADDRESS, ISNS_TAG_PORTAL_PORT, ISNS_TAG_SECURITY,
		ISNS_TAG_PG_NODE, ISNS_TAG_PG_ADDRESS, ISNS_TAG_PG_PORT, ISNS_TAG_PG_TAG,
	};

	isns_put_tag(m, ISNS_TAG_DELIMITER);
	for (size_t i = 0; i < G_N_ELEMENTS(wanted); i++)
		isns_put_tag(m, wanted[i]);
}

static void ask_all(struct isns_query *q)
{
	GByteArray *m = begin(q, ISNS_DEV_ATTR_QRY, ISNS_QUERY_ALL);

	isns_put_number(m, ISNS_TAG_NODE_TYPE, ISNS_IS_TARGET);
	put_wanted(m);
	isns_client_ask(q->client, m);
}

static void ask_one(struct isns_query *q)
{
	GByteArray *m = begin(q, ISNS_DEV_ATTR_QRY, ISNS_QUERY_ONE);

	isns_put_text(m, ISNS_TAG_NODE, q->at);
	put_wanted(m);
	isns_client_ask(q->client, m);
}

static void ask_next(struct isns_query *q)
{
	GByteArray *m = begin(q, ISNS_DEV_GET_NEXT, ISNS_QUERY_NEXT);

	if (q->at)
		isns_put_text(m, ISNS_TAG_NODE, q->at);
	else
		isns_put_tag(m, ISNS_TAG_NODE); /* "the first" (5.7.5.3) */
	isns_put_tag(m, ISNS_TAG_DELIMITER);
	isns_put_number(m, ISNS_TAG_NODE_TYPE, ISNS_IS_TARGET);
	isns_client_ask(q->client, m);
}

void isns_query_begin(struct isns_query *q, struct isns_client *c, const char *node,
		      const char *self)
{
	isns_query_drop(q);
	q->client = c;
	q->node = g_strdup(node);
	q->self = g_strdup(self);
	q->bad = g_ptr_array_new_with_free_func(g_free);
	q->taken = g_hash_table_new(g_str_hash, g_str_equal);
	q->names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	ask_all(q);
}

void isns_query_drop(struct isns_query *q)
{
	g_clear_pointer(&q->node, g_free);
	g_clear_pointer(&q->self, g_free);
	g_clear_pointer(&q->taken, g_hash_table_unref);
	g_clear_pointer(&q->found, g_ptr_array_unref);
	g_clear_pointer(&q->bad, g_ptr_array_unref);
	g_clear_pointer(&q->names, g_hash_table_unref);
	*q = (struct isns_query){ .state = ISNS_QUERY_IDLE };
}

/* Of an answer to a query. A walk may meet the same one under several names, and an answer may tell
 * of others than of the one that was asked for. */
static gboolean take_targets(struct isns_query *q, const uint8_t *payload, size_t len,
			     GError **err)
{
	g_autoptr(GPtrArray) part = isns_answer_targets(payload, len, q->self, q->bad, err);

	if (!part)
		return FALSE;
	if (!q->found) {
		q->found = g_steal_pointer(&part);
		for (unsigned i = 0; i < q->found->len; i++)
			g_hash_table_add(q->taken,
					 ((struct isns_target *)q->found->pdata[i])->name);
		return TRUE;
	}
	while (part->len) {
		struct isns_target *t = part->pdata[part->len - 1];

		if (q->found->len == ISNS_TARGETS_MAX || g_hash_table_contains(q->taken, t->name)) {
			g_ptr_array_remove_index(part, part->len - 1);
			continue;
		}
		g_ptr_array_add(q->found, g_ptr_array_steal_index(part, part->len - 1));
		g_hash_table_add(q->taken, t->name);
	}
	return TRUE;
}

static gboolean refuse(GError **err, const char *what)
{
	error_set_errno(err, ISDSC_NON_SPECIFIC_ERROR, EPROTO,
			"the answer to the question for the next target %s", what);
	return FALSE;
}

/* The key of the next one comes first in the answer. */
static gboolean take_next(struct isns_query *q, const uint8_t *payload, size_t len, GError **err)
{
	struct isns_cursor c = isns_attrs(payload, len);
	struct isns_attr a;
	const char *name = NULL;

	if (isns_next(&c, &a) && a.tag == ISNS_TAG_NODE)
		name = isns_attr_text(&a, NAME_MAX_BYTES);
	if (!name || !name[0])
		return refuse(err, "has no name");
	if (g_hash_table_contains(q->names, name)) /* it would never end */
		return refuse(err, "names one for the second time");
	if (g_hash_table_size(q->names) == ISNS_TARGETS_MAX)
		return refuse(err, "comes too often: too many targets");
	q->at = g_strdup(name);
	g_hash_table_add(q->names, (char *)q->at);
	return TRUE;
}

static enum isns_query_outcome over(struct isns_query *q, enum isns_query_outcome outcome)
{
	q->state = ISNS_QUERY_IDLE;
	return outcome;
}

static enum isns_query_outcome all_answered(struct isns_query *q, uint32_t status,
					    const uint8_t *payload, size_t len, GError **err)
{
	if (status == ISNS_INTERNAL_ERROR) {
		ask_next(q);
		return ISNS_QUERY_GOES_ON;
	}
	if (status && status != ISNS_NO_SUCH_ENTRY)
		return over(q, ISNS_QUERY_REFUSED);
	if (!take_targets(q, payload, status ? 0 : len, err))
		return over(q, ISNS_QUERY_BROKEN);
	return over(q, ISNS_QUERY_DONE);
}

static enum isns_query_outcome next_answered(struct isns_query *q, uint32_t status,
					     const uint8_t *payload, size_t len, GError **err)
{
	if (status == ISNS_NO_SUCH_ENTRY) { /* no other: what was found is all */
		if (!q->found && !take_targets(q, payload, 0, err))
			return over(q, ISNS_QUERY_BROKEN);
		return over(q, ISNS_QUERY_DONE);
	}
	if (status)
		return over(q, ISNS_QUERY_REFUSED);
	if (!take_next(q, payload, len, err))
		return over(q, ISNS_QUERY_BROKEN);
	ask_one(q);
	return ISNS_QUERY_GOES_ON;
}

static enum isns_query_outcome one_answered(struct isns_query *q, uint32_t status,
					    const uint8_t *payload, size_t len, GError **err)
{
	if (status && status != ISNS_NO_SUCH_ENTRY)
		return over(q, ISNS_QUERY_REFUSED);
	if (!status && !take_targets(q, payload, len, err))
		return over(q, ISNS_QUERY_BROKEN);
	ask_next(q);
	return ISNS_QUERY_GOES_ON;
}

enum isns_query_outcome isns_query_answered(struct isns_query *q, uint32_t status,
					    const uint8_t *payload, size_t len, GError **err)
{
	switch (q->state) {
	case ISNS_QUERY_ALL:
		return all_answered(q, status, payload, len, err);
	case ISNS_QUERY_NEXT:
		return next_answered(q, status, payload, len, err);
	case ISNS_QUERY_ONE:
		return one_answered(q, status, payload, len, err);
	case ISNS_QUERY_IDLE:
		break;
	}
	g_assert_not_reached();
}
