/* SPDX-License-Identifier: BSD-2-Clause */
/* SendTargets answers: whatever comes, every target that is accepted has a valid name, is there
 * once, and has addresses that can be spelled. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "core/discovery.h"

#define MUST(fact)               \
	do {                     \
		if (!(fact))     \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_target(const struct found_target *f, GHashTable *names)
{
	g_autofree char *name = text_iscsi_name(f->name, NULL);

	MUST(name && !strcmp(name, f->name));
	MUST(g_hash_table_add(names, f->name));
	MUST(f->portals->len <= SENDTARGETS_PORTALS_MAX);
	for (unsigned i = 0; i < f->portals->len; i++) {
		const struct target_portal *p =
			&g_array_index(f->portals, struct target_portal, i);
		g_autofree char *portal = text_format_portal(p->host, p->port);
		g_autofree char *host = NULL;
		uint16_t port;
		int tpgt;

		MUST(text_parse_portal(portal, 0, &host, &port, &tpgt) == 0);
		MUST(!strcmp(host, p->host) && port == p->port && tpgt == -1);
		MUST(p->tpgt >= -1 && p->tpgt <= 65535);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(GPtrArray) bad = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
	GError *err = NULL;
	GPtrArray *found = sendtargets_parse(data, size, bad, &err);

	MUST(!found == !!err);
	MUST(bad->len <= SENDTARGETS_BAD_MAX);
	for (unsigned i = 0; found && i < found->len; i++)
		check_target(found->pdata[i], names);
	if (found)
		g_ptr_array_unref(found);
	g_clear_error(&err);
	return 0;
}
