/* SPDX-License-Identifier: BSD-2-Clause */
/* A nexus: a session with a target, and what its owner does when it speaks up. Made by
 * target_login.c, ended by logout.c, by the target, or by a login that replaces it; its
 * connections are brought back by revive.c.
 *
 * Its units rest while the session has FAILED. When it is back as the same session, they go on
 * at once. When it began anew (session->lives), nothing is sure: a unit may be another one, or
 * not ready; so they rest until a scan has looked at each, which re-enables the paths to those
 * that are what they were (lun_found()). A scan that is cut short begins again.
 *
 * Invariants: a nexus is on its target's list from nexus_new() to nexus_remove(); its session
 * calls nobody after that. All pointers to it are found again by that list, or go with it. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/wire.h"
#include "core/event.h"
#include "core/mcs.h"
#include "core/policies.h"
#include "core/revive.h"
#include "core/target.h"

#define VERIFY_AGAIN_MS 500

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

/* ---- are the units what they were? ---- */

static void forget_verify(struct nexus *n)
{
	loop_timer_stop(&n->verify_timer);
	if (!n->verify)
		return;
	operation_detach(n->verify);
	operation_unref(g_steal_pointer(&n->verify));
}

static void on_verified(struct operation *op, void *arg)
{
	struct nexus *n = arg;
	bool is_ok = !op->error && n->session->state == SESSION_LOGGED_IN;

	n->verify = NULL;
	n->is_verified = is_ok;
	if (is_ok)
		revive_verified(n->revive);
	else if (n->session->state == SESSION_LOGGED_IN)
		loop_timer_start(&n->verify_timer, VERIFY_AGAIN_MS);
	operation_unref(op); /* else on_logged_in() begins anew */
}

static void verify(struct nexus *n)
{
	forget_verify(n);
	n->verify = operation_new(n->session->loop, on_verified, n);
	lun_scan(n, n->verify);
}

static void on_verify_timer(struct loop_timer *t)
{
	struct nexus *n = container_of(t, struct nexus, verify_timer);

	if (nexus_is_usable(n))
		verify(n);
}

/* ---- states ---- */

/* FAILED: nothing can be sent. */
static void on_failed(struct nexus *n, const GError *why)
{
	/* In its login, that fails, and tells. */
	bool is_new = n->target->logging_in && !n->is_scanned;

	n->is_failed = true;
	lun_set_usable(n, false);
	if (!is_new)
		report_failure(n, why);
	forget_verify(n);
	forget_scan(n);
	revive_session_failed(n->revive);
}

static void on_logged_in(struct nexus *n)
{
	if (!n->is_failed)
		return; /* that is how it began */
	n->is_failed = false;
	if (n->lives != n->session->lives)
		n->is_verified = false;
	n->lives = n->session->lives;
	if (n->is_verified)
		lun_set_usable(n, true);
	else
		verify(n);
}

/* Not by us, or logout.c would have been told first: the target asked for it (14.1, 20.1). */
static void on_closed(struct nexus *n, const GError *why)
{
	struct target *t = n->target;

	if (n->is_logging_out)
		return; /* logout.c removes it */
	event_emit(t->daemon, EVENT_SESSION_ENDED, "session %u %s via %s ended: %s",
		   n->session->sid, t->name, n->portal, why ? why->message : "closed");
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

static void nexus_conn_lost(struct session *s, struct conn *c, const GError *err, void *arg)
{
	struct nexus *n = arg;

	(void)s;
	revive_conn_lost(n->revive, c, err);
}

static void nexus_event(struct session *s, const struct conn *c, unsigned id, const char *text,
			void *arg)
{
	const struct nexus *n = arg;
	struct target *t = n->target;

	if (c)
		event_emit(t->daemon, id, "session %u %s connection %u via %s: %s", s->sid,
			   t->name, c->cid, c->remote, text);
	else
		event_emit(t->daemon, id, "session %u %s: %s", s->sid, t->name, text);
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

static void nexus_unit_news(struct session *s, const uint8_t lun[8], int what,
			    const char *lost_write, void *arg)
{
	(void)arg;
	if (lost_write)
		lun_lost_write(s, lun, lost_write);
	else
		lun_attention(s, lun, (enum sense_class)what);
}

static const struct session_ops nexus_ops = {
	.state_changed = nexus_state_changed,
	.conn_lost = nexus_conn_lost,
	.event = nexus_event,
	.unit_news = nexus_unit_news,
	.async = nexus_async,
};

struct nexus *nexus_new(struct target *t, struct session *s, const char *portal)
{
	struct nexus *n = g_new0(struct nexus, 1);
	enum policy policy;

	n->target = t;
	n->session = s;
	n->portal = g_strdup(portal);
	n->lives = s->lives;
	n->is_verified = true; /* the login sees to the first scan */
	loop_timer_init(s->loop, &n->verify_timer, on_verify_timer);
	s->sid = t->daemon->next_sid++;
	s->ops = &nexus_ops;
	s->arg = n;
	n->revive = revive_new(n);
	if (policies_find(t->daemon->policies, POLICIES_TARGETS, t->name, &policy))
		session_set_policy(s, policy);
	t->nexuses = g_list_append(t->nexuses, n);
	return n;
}

void nexus_remove(struct nexus *n)
{
	struct target *t = n->target;
	struct daemon *d = t->daemon;

	session_detach(n->session);
	t->nexuses = g_list_remove(t->nexuses, n);
	mcs_give_up(n);
	revive_free(n->revive);
	forget_verify(n);
	loop_timer_done(&n->verify_timer);
	forget_scan(n);
	session_close(n->session);
	lun_remove_nexus(n);
	object_gone(&n->session->obj);
	mapping_free(n->mapping);
	g_free(n->portal);
	g_free(n->instance);
	g_free(n);
	target_maybe_gone(t);
	daemon_check_shutdown(d);
}

bool nexus_is_usable(const struct nexus *n)
{
	return n->session->state == SESSION_LOGGED_IN && !n->is_logging_out;
}

const char *nexus_state_name(const struct nexus *n)
{
	if (n->session->state == SESSION_FAILED && !n->is_logging_out &&
	    revive_wanted_count(n->revive))
		return "retrying";
	return session_state_name(n->session->state);
}

void nexus_set_portal(struct nexus *n, const char *portal)
{
	char *copy = g_strdup(portal);

	g_free(n->portal);
	n->portal = copy;
}

struct nexus *nexus_of_session(const struct session *s)
{
	return s->ops == &nexus_ops ? s->arg : NULL;
}

enum expose target_expose(const struct target *t)
{
	const GList *newest = g_list_last(t->nexuses);

	return newest ? ((const struct nexus *)newest->data)->expose : EXPOSE_FILE;
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
