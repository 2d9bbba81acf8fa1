/* SPDX-License-Identifier: BSD-2-Clause */
/* Portals of a target, in order; see the header. Called by logins, by the verbs of a session
 * and by what brings connections back. */
#include "core/hop.h"

#include <string.h>

#include "base/text.h"
#include "core/revive.h"

static bool is_listed(const GArray *hops, const struct hop *h)
{
	for (unsigned i = 0; i < hops->len; i++) {
		const struct hop *other = &g_array_index(hops, struct hop, i);

		if (other->port == h->port && !strcmp(other->host, h->host))
			return true;
	}
	return false;
}

static bool is_in_group(int tpgt, int wanted)
{
	return wanted == HOP_ANY_GROUP || tpgt < 0 || tpgt == wanted;
}

GArray *hop_list(const struct target *t, int tpgt)
{
	GArray *hops = g_array_new(FALSE, FALSE, sizeof(struct hop));

	for (GList *l = t->instances; l; l = l->next) {
		const struct instance *i = l->data;

		for (unsigned k = 0; k < i->portals->len; k++) {
			const struct target_portal *p =
				&g_array_index(i->portals, struct target_portal, k);
			struct hop h = { p->host, p->port, p->tpgt };

			if (is_in_group(h.tpgt, tpgt) && !is_listed(hops, &h))
				g_array_append_val(hops, h);
		}
	}
	return hops;
}

int hop_group(const struct session *s)
{
	int tpgt = s->values.target_portal_group_tag;

	return tpgt >= 0 ? tpgt : HOP_ANY_GROUP;
}

bool hop_is_used(const struct target *t, const struct nexus *except, const char *portal,
		 const char *source)
{
	for (GList *l = t->nexuses; l; l = l->next) {
		const struct nexus *n = l->data;

		if (n != except && revive_uses(n->revive, portal, source))
			return true;
	}
	return false;
}
