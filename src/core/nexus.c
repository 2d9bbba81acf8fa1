/* SPDX-License-Identifier: BSD-2-Clause */
/* A nexus: a session that is (or was) logged in with a target, and what its owner does when it
 * speaks up. Made by target_login.c, ended by logout.c, by the target, or by a login that
 * replaces it.
 *
 * Invariants: a nexus is on its target's list from nexus_new() to nexus_remove(); its session
 * calls nobody after that. All pointers to it are found again by that list, or go with it. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/wire.h"
#include "core/target.h"

static void forget_scan(struct nexus *n)
{
	if (n->scan)
		lun_scan_cancel(n->scan);
}

static void report_failure(struct nexus *n, const GError *why)
{
	struct target *t = n->target;
	g_autofree char *text =
		g_strdup_printf("session %u %s via %s failed: %s", n->session->sid, t->name,
				n->portal, why ? why->message : "connection lost");
	enum isdsc code = why ? error_info_of(why)->code : ISDSC_CONNECTION_FAILED;
	int errno_value = why ? error_errno(why) : ECONNRESET;

	log_warning("%s", text);
	object_fail_text(&t->obj, "session", code, errno_value, text);
	object_fail_text(&n->session->obj, "session", code, errno_value, text);
}

/* FAILED: nothing can be sent. The units stay, for a login that brings them back. */
static void on_failed(struct nexus *n, const GError *why)
{
	/* In its login, that fails, and tells. */
	bool is_new = n->target->logging_in && !n->is_scanned;

	n->is_failed = true;
	lun_set_usable(n, false);
	if (!is_new)
		report_failure(n, why);
	forget_scan(n);
}

static void on_logged_in(struct nexus *n)
{
	struct operation *op;

	if (!n->is_failed)
		return; /* that is how it began */
	n->is_failed = false;
	lun_set_usable(n, true);
	log_info("session %u %s via %s is back", n->session->sid, n->target->name, n->portal);
	op = operation_new(n->session->loop, NULL, NULL);
	lun_scan(n, op);
	operation_unref(op);
}

/* Not by us, or logout.c would have been told first: the target asked for it (14.1, 20.1). */
static void on_closed(struct nexus *n, const GError *why)
{
	struct target *t = n->target;

	if (n->is_logging_out)
		return; /* logout.c removes it */
	log_warning("session %u %s via %s ended: %s", n->session->sid, t->name, n->portal,
		    why ? why->message : "closed");
	if (why)
		object_fail(&t->obj, "session", why);
	nexus_remove(n);
}

static void nexus_state_changed(struct session *s, const GError *why, void *arg)
{
	struct nexus *n = arg;

	switch (s->state) {
	case SESSION_FAILED:
		on_failed(n, why);
		break;
	case SESSION_LOGGED_IN:
		on_logged_in(n);
		break;
	case SESSION_CLOSED:
		on_closed(n, why);
		break;
	default:
		break;
	}
}

/* 11.9: a SCSI event carries sense data, with its length in front. Whatever it says, looking
 * again shows what is true now. */
static void nexus_async(struct session *s, const struct pdu_async_message *m,
			const uint8_t *data, uint32_t bytes, void *arg)
{
	struct nexus *n = arg;
	struct sense sense = { 0 };
	char text[160];
	struct operation *op;

	if (m->event != ISCSI_ASYNC_SCSI) { /* what comes of it, the session tells */
		log_debug("session %u %s: the target sent async event %u", s->sid,
			  n->target->name, m->event);
		return;
	}
	if (bytes > 2)
		sense_decode(data + 2, MIN(get_be16(data), bytes - 2), &sense);
	log_info("session %u %s: the target tells: %s", s->sid, n->target->name,
		 sense_format(SCSI_CHECK_CONDITION, &sense, text, sizeof(text)));
	op = operation_new(s->loop, NULL, NULL);
	lun_scan(n, op);
	operation_unref(op);
}

static const struct session_ops nexus_ops = {
	.state_changed = nexus_state_changed,
	.async = nexus_async,
};

struct nexus *nexus_new(struct target *t, struct session *s, const char *portal)
{
	struct nexus *n = g_new0(struct nexus, 1);

	n->target = t;
	n->session = s;
	n->portal = g_strdup(portal);
	s->sid = t->daemon->next_sid++;
	s->ops = &nexus_ops;
	s->arg = n;
	t->nexuses = g_list_append(t->nexuses, n);
	return n;
}

void nexus_remove(struct nexus *n)
{
	struct target *t = n->target;
	struct daemon *d = t->daemon;

	session_detach(n->session);
	t->nexuses = g_list_remove(t->nexuses, n);
	forget_scan(n);
	session_close(n->session);
	lun_remove_nexus(n);
	object_gone(&n->session->obj);
	g_free(n->portal);
	g_free(n);
	target_maybe_gone(t);
	daemon_check_shutdown(d);
}

bool nexus_is_usable(const struct nexus *n)
{
	return n->session->state == SESSION_LOGGED_IN && !n->is_logging_out;
}

struct nexus *nexus_of_session(const struct session *s)
{
	return s->ops == &nexus_ops ? s->arg : NULL;
}

struct nexus *target_find_nexus(struct target *t, unsigned sid)
{
	for (GList *l = t->nexuses; l; l = l->next) {
		struct nexus *n = l->data;

		if (n->session->sid == sid)
			return n;
	}
	return NULL;
}
