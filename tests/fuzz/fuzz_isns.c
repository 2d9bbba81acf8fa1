/* SPDX-License-Identifier: BSD-2-Clause */
/* iSNS, whatever comes: the stream is cut into messages, however it arrives in pieces; a message
 * never holds more than its limit; what a query's answer tells are targets with valid names and
 * addresses that can be spelled. The first byte: how long the pieces are. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "core/isns_answer.h"
#include "core/isns_pdu.h"
#include "core/resolve.h"
#include "core/target.h"

#define MESSAGE_MAX 4096

#define MUST(fact)               \
	do {                     \
		if (!(fact))     \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_target(const struct isns_target *t, GHashTable *names)
{
	g_autofree char *name = text_iscsi_name(t->name, NULL);

	MUST(name && !strcmp(name, t->name) && strcmp(name, "iqn.2001-01.a:self"));
	MUST(g_hash_table_add(names, t->name));
	MUST(!t->alias || g_utf8_validate(t->alias, -1, NULL));
	MUST(t->portals->len && t->portals->len <= ISNS_PORTALS_MAX);
	for (unsigned i = 0; i < t->portals->len; i++) {
		const struct target_portal *p =
			&g_array_index(t->portals, struct target_portal, i);

		MUST(resolve_is_numeric(p->host) && p->port && p->tpgt >= -1 &&
		     p->tpgt <= 65535);
	}
}

static void check_answer(const uint8_t *data, size_t size)
{
	g_autoptr(GPtrArray) bad = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
	g_autoptr(GError) err = NULL;
	g_autoptr(GPtrArray) found =
		isns_answer_targets(data, size, "iqn.2001-01.a:self", bad, &err);

	MUST(!found == !!err);
	MUST(bad->len <= ISNS_BAD_MAX);
	for (unsigned i = 0; found && i < found->len; i++)
		check_target(found->pdata[i], names);
}

static unsigned read_stream(const uint8_t *data, size_t size, size_t step)
{
	struct isns_reader r;
	unsigned count = 0;
	int got = 0;

	isns_reader_init(&r, MESSAGE_MAX);
	while (size && got >= 0) {
		size_t len = MIN(step, size);
		const uint8_t *at = data;

		data += len;
		size -= len;
		while ((got = isns_reader_take(&r, &at, &len, NULL)) > 0) {
			count++;
			MUST(r.message.payload->len % 4 == 0);
			check_answer(r.message.payload->data, r.message.payload->len);
		}
		MUST(r.message.payload->len <= MESSAGE_MAX);
	}
	isns_reader_done(&r);
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	check_answer(data + 1, size - 1);
	MUST(read_stream(data + 1, size - 1, size) ==
	     read_stream(data + 1, size - 1, 1 + data[0] % 16u));
	return 0;
}
