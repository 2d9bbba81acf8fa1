/* SPDX-License-Identifier: BSD-2-Clause */
/* Rounds with one iSNS server; isns.h is the manual. */
#include "core/initiator_instance.h"
#include "core/isns.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "core/event.h"
#include "core/found.h"
#include "core/isns_answer.h"
#include "core/isns_notify.h"
#include "core/isns_servers.h"

#define RETRY_FIRST_MS 1000
#define RETRY_LAST_MS 60000
#define REOPEN_FIRST_MS 500 /* the server closed the connection */
#define REOPEN_LAST_MS 60000
#define CALM_MS 60000	/* it stayed open so long: begin with the first again */
#define SCN_WAIT_MS 100 /* more of them may follow */
#define SCN_GAP_MS 1000 /* between the rounds of a storm */
#define ANSWER_MS 60000 /* where text_timeout sets no limit */
#define LEAVE_MS 2000
#define ESI_LONGEST_S 60
#define PROTOCOL_ISCSI 2

#define ALL_SCNS                                                                            \
	(ISNS_SCN_TARGETS_AND_SELF | ISNS_SCN_REMOVED | ISNS_SCN_ADDED | ISNS_SCN_UPDATED | \
	 ISNS_SCN_MEMBER_ADDED | ISNS_SCN_MEMBER_REMOVED)
/* Servers may keep those of domains for control nodes (RFC 4171 6.4.4). */
#define FEW_SCNS (ALL_SCNS & ~(ISNS_SCN_MEMBER_ADDED | ISNS_SCN_MEMBER_REMOVED))

/* ---- states ---- */

#define TO(state) (1u << ISNS_STATE_##state)

static const struct {
	const char *name;
	unsigned next;
} states[] = {
	[ISNS_STATE_NEVER] = { "never", TO(CONNECTING) | TO(LEAVING) },
	[ISNS_STATE_CONNECTING] = { "connecting", TO(WITHDRAWING) | TO(REGISTERING) | TO(FAILED) |
						  TO(LEAVING) },
	[ISNS_STATE_WITHDRAWING] = { "withdrawing",
				     TO(REGISTERING) | TO(FAILED) | TO(LEAVING) },
	[ISNS_STATE_REGISTERING] = { "registering", TO(REGISTERING) | TO(SUBSCRIBING) |
						    TO(ASKING) | TO(FAILED) | TO(LEAVING) },
	[ISNS_STATE_SUBSCRIBING] = { "subscribing",
				     TO(SUBSCRIBING) | TO(ASKING) | TO(FAILED) | TO(LEAVING) },
	[ISNS_STATE_ASKING] = { "asking", TO(OK) | TO(FAILED) | TO(LEAVING) },
	[ISNS_STATE_OK] = { "ok", TO(CONNECTING) | TO(WITHDRAWING) | TO(REGISTERING) |
				  TO(ASKING) | TO(LEAVING) },
	[ISNS_STATE_FAILED] = { "failed", TO(CONNECTING) | TO(LEAVING) },
	[ISNS_STATE_LEAVING] = { "leaving", TO(GONE) },
	[ISNS_STATE_GONE] = { "gone", 0 },
};

bool isns_state_may(enum isns_state from, enum isns_state to)
{
	return states[from].next & 1u << to;
}

const char *isns_state_name(const struct isns_server *s)
{
	return states[s->state].name;
}

static void set_state(struct isns_server *s, enum isns_state to)
{
	assert(isns_state_may(s->state, to));
	log_debug("iSNS server %s: %s", s->name, states[to].name);
	s->state = to;
}

static bool is_busy(const struct isns_server *s)
{
	return s->state >= ISNS_STATE_CONNECTING && s->state <= ISNS_STATE_ASKING;
}

static bool is_ended(const struct isns_server *s)
{
	return s->state >= ISNS_STATE_LEAVING;
}

/* ---- who waits for a round ---- */

static void finish_list(GList **list, const GError *err, unsigned targets)
{
	GList *ops = g_steal_pointer(list);

	for (GList *l = ops; l; l = l->next) {
		struct operation *op = l->data;

		operation_step(op, NULL, NULL);
		if (!err)
			operation_result(op, "targets", "%u", targets);
		operation_finish(op, err ? g_error_copy(err) : NULL);
		operation_unref(op);
	}
	g_list_free(ops);
}

/* The round goes on. */
static void on_cancel(struct operation *op)
{
	struct isns_server *s = op->step;

	s->asked = g_list_remove(s->asked, op);
	s->waiting = g_list_remove(s->waiting, op);
	operation_finish(op, NULL);
	operation_unref(op);
}

/* ---- the end of a round ---- */

static void begin_round(struct isns_server *s, bool is_full);

static void plan_next(struct isns_server *s)
{
	uint32_t period_s = s->daemon->conf.isns_period_s;

	if (s->registered.period_s)
		period_s = MIN(period_s, s->registered.period_s);
	loop_timer_start(&s->renewal, s->wants_full || s->waiting ? 0 : (int64_t)period_s * 500);
	if (s->wants_query)
		loop_timer_start(&s->soon,
				 s->began_ms + SCN_GAP_MS - loop_now_ms(s->obj.loop));
	s->wants_full = s->wants_query = false;
}

static void round_ok(struct isns_server *s)
{
	set_state(s, ISNS_STATE_OK);
	s->last_ok_us = g_get_real_time();
	s->retry_ms = RETRY_FIRST_MS;
	if (s->told)
		log_info("iSNS server %s: answers again", s->name);
	g_clear_pointer(&s->told, g_free);
	plan_next(s);
	finish_list(&s->asked, NULL, s->targets_found);
}

/* Told once as long as it is the same. */
static void tell_failure(struct isns_server *s, const GError *err)
{
	object_fail(&s->obj, "refresh", err);
	if (g_strcmp0(s->told, err->message))
		event_emit(s->daemon, EVENT_ISNS_FAILED, "%s", err->message);
	g_free(s->told);
	s->told = g_strdup(err->message);
}

static void round_failed(struct isns_server *s, const GError *err)
{
	isns_client_close(&s->client);
	isns_query_drop(&s->query);
	if (s->state == ISNS_STATE_OK) /* lost between two rounds */
		set_state(s, ISNS_STATE_CONNECTING);
	set_state(s, ISNS_STATE_FAILED);
	tell_failure(s, err);
	s->registered.is_there = s->registered.is_subscribed = false;
	s->wants_full = s->wants_query = false;
	loop_timer_stop(&s->soon);
	loop_timer_start(&s->renewal, s->retry_ms);
	s->retry_ms = MIN(2 * s->retry_ms, RETRY_LAST_MS);
	/* Whoever hears of it may remove the server. */
	object_ref(&s->obj);
	finish_list(&s->asked, err, 0);
	finish_list(&s->waiting, err, 0);
	object_unref(&s->obj);
}

static void refused(struct isns_server *s, const char *what, uint32_t status)
{
	g_autoptr(GError) err = NULL;

	error_set_errno(&err,
			status == ISNS_VERSION_NOT_SUPPORTED ? ISDSC_INCOMPATIBLE_ISNS_VERSION
							     : ISDSC_NON_SPECIFIC_ERROR,
			EPROTO, "iSNS server %s: %s refused: %s (status %u)", s->name, what,
			isns_status_text(status), (unsigned)status);
	round_failed(s, err);
}

/* ---- the query ---- */

static void ask(struct isns_server *s)
{
	set_state(s, ISNS_STATE_ASKING);
	isns_query_begin(&s->query, &s->client, s->registered.node, s->daemon->initiator->name);
}

static void take_targets(struct isns_server *s, const GPtrArray *found)
{
	g_autofree char *who = g_strdup_printf("iSNS server %s", s->name);
	struct found all;

	found_begin(&all, s->daemon, s->mechanism, INSTANCE_ISNS, who);
	for (unsigned i = 0; i < found->len; i++) {
		const struct isns_target *f = found->pdata[i];
		struct instance *k =
			found_add(&all, f->name,
				  (const struct target_portal *)(void *)f->portals->data,
				  f->portals->len, &s->options);

		instance_set_alias(k, f->alias);
	}
	found_end(&all);
	s->targets_found = found->len;
}

static void tell_bad(struct isns_server *s, const GPtrArray *bad)
{
	for (unsigned i = 0; i < bad->len; i++) {
		g_autofree char *text = g_strdup_printf(
			"iSNS server %s: a target with a name that is none is passed over: \"%s\"",
			s->name, (const char *)bad->pdata[i]);

		event_emit(s->daemon, EVENT_INVALID_NAME, "%s", text);
		object_fail_text(&s->obj, "refresh", ISDSC_INVALID_ISCSI_NAME, EPROTO, text);
	}
}

static void on_asked(struct isns_server *s, uint32_t status, const uint8_t *payload, size_t len)
{
	g_autoptr(GError) err = NULL;

	switch (isns_query_answered(&s->query, status, payload, len, &err)) {
	case ISNS_QUERY_GOES_ON:
		return;
	case ISNS_QUERY_REFUSED:
		refused(s, "the query", status);
		break;
	case ISNS_QUERY_BROKEN:
		g_prefix_error(&err, "iSNS server %s: ", s->name);
		round_failed(s, err);
		break;
	case ISNS_QUERY_DONE:
		tell_bad(s, s->query.bad);
		take_targets(s, s->query.found);
		log_debug("iSNS server %s: %u targets, by %u requests", s->name, s->targets_found,
			  s->query.asked_count);
		isns_query_drop(&s->query);
		round_ok(s);
		break;
	}
}

/* ---- to be told of changes ---- */

static void subscribe(struct isns_server *s)
{
	GByteArray *m;

	set_state(s, ISNS_STATE_SUBSCRIBING);
	m = isns_client_begin(&s->client, ISNS_SCN_REG, 0);
	isns_put_text(m, ISNS_TAG_NODE, s->registered.node);
	isns_put_text(m, ISNS_TAG_NODE, s->registered.node);
	isns_put_tag(m, ISNS_TAG_DELIMITER);
	isns_put_number(m, ISNS_TAG_SCN_BITMAP, s->has_few_scns ? FEW_SCNS : ALL_SCNS);
	isns_client_ask(&s->client, m);
}

/* Without it there are still our own refreshes. */
static void on_subscribed(struct isns_server *s, uint32_t status, const uint8_t *payload,
			  size_t len)
{
	(void)payload;
	(void)len;
	if (status && !s->has_few_scns) {
		s->has_few_scns = true;
		subscribe(s);
		return;
	}
	s->registered.is_subscribed = !status;
	if (status)
		log_warning("iSNS server %s: will not tell of changes: %s", s->name,
			    isns_status_text(status));
	ask(s);
}

/* ---- registering ---- */

static void register_us(struct isns_server *s)
{
	struct isns_registration *r = &s->registered;
	GByteArray *m;

	set_state(s, ISNS_STATE_REGISTERING);
	r->may_be_there = true; /* whatever becomes of the answer */
	m = isns_client_begin(&s->client, ISNS_DEV_ATTR_REG, s->replaces ? ISNS_REPLACE : 0);
	isns_put_text(m, ISNS_TAG_NODE, r->node);
	isns_put_text(m, ISNS_TAG_ENTITY, r->entity);
	isns_put_tag(m, ISNS_TAG_DELIMITER);
	isns_put_text(m, ISNS_TAG_ENTITY, r->entity);
	isns_put_number(m, ISNS_TAG_ENTITY_PROTOCOL, PROTOCOL_ISCSI);
	isns_put_number(m, ISNS_TAG_PERIOD, s->daemon->conf.isns_period_s);
	if (r->port) {
		isns_put_address(m, ISNS_TAG_PORTAL_ADDRESS, &r->portal);
		isns_put_number(m, ISNS_TAG_PORTAL_PORT, r->port);
		if (!s->without_esi) {
			isns_put_number(m, ISNS_TAG_ESI_INTERVAL,
					CLAMP(s->daemon->conf.isns_period_s / 4, 1,
					      ESI_LONGEST_S));
			isns_put_number(m, ISNS_TAG_ESI_PORT, r->port);
		}
		isns_put_number(m, ISNS_TAG_SCN_PORT, r->port);
	}
	isns_put_text(m, ISNS_TAG_NODE, r->node);
	isns_put_number(m, ISNS_TAG_NODE_TYPE, ISNS_IS_INITIATOR);
	if (r->alias)
		isns_put_text(m, ISNS_TAG_ALIAS, r->alias);
	isns_client_ask(&s->client, m);
}

/* The server may have granted something else than was asked for. */
static void take_registration(struct isns_server *s, const uint8_t *payload, size_t len)
{
	struct isns_cursor c = isns_attrs(payload, len);
	struct isns_registration *r = &s->registered;
	struct isns_attr a;

	r->period_s = s->daemon->conf.isns_period_s;
	r->esi_s = 0;
	while (isns_next(&c, &a)) {
		if (a.tag == ISNS_TAG_PERIOD)
			isns_attr_number(&a, &r->period_s);
		else if (a.tag == ISNS_TAG_ESI_INTERVAL && !s->without_esi && r->port)
			isns_attr_number(&a, &r->esi_s);
	}
}

static void on_registered(struct isns_server *s, uint32_t status, const uint8_t *payload,
			  size_t len)
{
	struct isns_registration *r = &s->registered;

	if (status == ISNS_ESI_NOT_AVAILABLE && !s->without_esi) {
		s->without_esi = true;
		register_us(s);
		return;
	}
	if (status && !s->replaces) { /* it has forgotten us, or knows something else of us */
		s->replaces = true;
		register_us(s);
		return;
	}
	if (status) {
		refused(s, "the registration", status);
		return;
	}
	take_registration(s, payload, len);
	if (!r->is_there)
		event_emit(s->daemon, EVENT_ISNS_REGISTERED,
			   "iSNS server %s: %s is registered, entity %s, period %u s", s->name,
			   r->node, r->entity, (unsigned)r->period_s);
	r->is_there = true;
	if (r->port)
		subscribe(s);
	else
		ask(s);
}

/* ---- who we are ---- */

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET6)
		return IN6_ARE_ADDR_EQUAL(
			&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr,
			&((const struct sockaddr_in6 *)(const void *)b)->sin6_addr);
	return ((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr ==
	       ((const struct sockaddr_in *)(const void *)b)->sin_addr.s_addr;
}

/* The node's name is an entity that no other host has; a host name might be that of the targets of
 * this host, which would then be taken away with ours. */
static const char *wanted_entity(const struct isns_server *s)
{
	const char *entity = s->daemon->conf.isns_entity;

	return entity ? entity : s->daemon->initiator->name;
}

static bool is_as_wanted(const struct isns_server *s)
{
	const struct isns_registration *r = &s->registered;

	return !strcmp(r->node, s->daemon->initiator->name) &&
	       !strcmp(r->entity, wanted_entity(s)) &&
	       r->port == isns_servers_port(s->daemon->discovery) &&
	       same_address(&r->portal, &s->client.local);
}

static void set_registration(struct isns_server *s)
{
	struct isns_registration *r = &s->registered;
	const struct initiator *i = s->daemon->initiator;

	if (r->entity && is_as_wanted(s) && r->is_there && !g_strcmp0(r->alias, i->alias))
		return;
	g_free(r->entity);
	g_free(r->node);
	g_free(r->alias);
	r->entity = g_strdup(wanted_entity(s));
	r->node = g_strdup(i->name);
	r->alias = g_strdup(i->alias);
	r->port = isns_servers_port(s->daemon->discovery);
	r->portal = s->client.local;
	s->replaces = true; /* whatever an earlier run of ours has left there */
}

static void ask_deregistration(struct isns_server *s)
{
	GByteArray *m = isns_client_begin(&s->client, ISNS_DEV_DEREG, 0);

	isns_put_text(m, ISNS_TAG_NODE, s->registered.node);
	isns_put_tag(m, ISNS_TAG_DELIMITER);
	isns_put_text(m, ISNS_TAG_ENTITY, s->registered.entity);
	isns_client_ask(&s->client, m);
}

static void register_anew(struct isns_server *s)
{
	set_registration(s);
	register_us(s);
}

/* If that did not work the server forgets it by itself in the end. */
static void on_withdrawn(struct isns_server *s, uint32_t status, const uint8_t *payload, size_t len)
{
	(void)payload;
	(void)len;
	if (status)
		log_warning("iSNS server %s: %s is still registered: %s", s->name,
			    s->registered.node, isns_status_text(status));
	s->registered.is_there = s->registered.may_be_there = false;
	register_anew(s);
}

static void begin_registration(struct isns_server *s)
{
	g_autoptr(GError) err = NULL;

	s->replaces = s->without_esi = s->has_few_scns = false;
	if (!s->client.local.ss_family) {
		error_set_errno(&err, ISDSC_ISNS_SERVER_NOT_FOUND, EADDRNOTAVAIL,
				"iSNS server %s: the own address cannot be told", s->name);
		event_emit(s->daemon, EVENT_LOCAL_ADDRESSES_FAILED, "%s", err->message);
		round_failed(s, err);
		return;
	}
	isns_servers_listen(s->daemon->discovery);
	if (s->registered.may_be_there && !is_as_wanted(s)) {
		set_state(s, ISNS_STATE_WITHDRAWING);
		ask_deregistration(s);
		return;
	}
	register_anew(s);
}

/* ---- calls of the connection ---- */

static void left(struct isns_server *s);

static void on_opened(void *arg)
{
	struct isns_server *s = arg;

	if (s->state == ISNS_STATE_LEAVING)
		ask_deregistration(s);
	else
		begin_registration(s);
}

static void on_left(struct isns_server *s, uint32_t status, const uint8_t *payload, size_t len)
{
	(void)payload;
	(void)len;
	if (status)
		log_warning("iSNS server %s: deregistration refused: %s", s->name,
			    isns_status_text(status));
	left(s);
}

static void on_answered(void *arg, uint32_t status, const uint8_t *payload, size_t len)
{
	static void (*const steps[ISNS_STATES])(struct isns_server *, uint32_t, const uint8_t *,
						size_t) = {
		[ISNS_STATE_WITHDRAWING] = on_withdrawn,
		[ISNS_STATE_REGISTERING] = on_registered,
		[ISNS_STATE_SUBSCRIBING] = on_subscribed,
		[ISNS_STATE_ASKING] = on_asked,
		[ISNS_STATE_LEAVING] = on_left,
	};
	struct isns_server *s = arg;

	if (steps[s->state])
		steps[s->state](s, status, payload, len);
}

static void on_told(void *arg, const struct isns_message *m)
{
	struct isns_server *s = arg;
	GByteArray *reply = isns_servers_told(s->daemon->discovery, m, &s->client.peer);

	if (reply)
		isns_client_reply(&s->client, reply);
}

/* Servers close connections that are not used: that is no failure, unless it does not let us in
 * again. But one that does so at once after each answer is not asked all the time. */
static void reopen(struct isns_server *s)
{
	if (loop_now_ms(s->obj.loop) - s->began_ms > CALM_MS)
		s->reopen_ms = REOPEN_FIRST_MS;
	loop_timer_start(&s->renewal, s->reopen_ms);
	s->reopen_ms = MIN(2 * s->reopen_ms, REOPEN_LAST_MS);
}

static void on_failed(void *arg, const GError *err, bool is_idle)
{
	struct isns_server *s = arg;

	if (s->state == ISNS_STATE_LEAVING)
		left(s);
	else if (s->state == ISNS_STATE_OK && is_idle)
		reopen(s);
	else
		round_failed(s, err);
}

static const struct isns_client_calls client_calls = {
	.opened = on_opened,
	.answered = on_answered,
	.told = on_told,
	.failed = on_failed,
};

/* ---- when ---- */

static void open_client(struct isns_server *s)
{
	g_autofree char *way = initiator_way_anyhow(s->daemon, &s->options);

	isns_client_open(&s->client, way);
}

static void begin_round(struct isns_server *s, bool is_full)
{
	s->asked = g_list_concat(s->asked, g_steal_pointer(&s->waiting));
	s->began_ms = loop_now_ms(s->obj.loop);
	s->client.connect_ms = s->daemon->conf.timeouts.connect_ms;
	s->client.answer_ms = s->daemon->conf.timeouts.text_ms;
	if (!s->client.answer_ms) /* no end at all would leave the server as it is for ever */
		s->client.answer_ms = ANSWER_MS;
	loop_timer_stop(&s->soon);
	if (s->client.state != ISNS_CLIENT_OPEN) {
		loop_timer_stop(&s->renewal);
		set_state(s, ISNS_STATE_CONNECTING);
		open_client(s);
	} else if (is_full) {
		loop_timer_stop(&s->renewal);
		begin_registration(s);
	} else {
		ask(s);
	}
}

static void on_renewal(struct loop_timer *t)
{
	struct isns_server *s = container_of(t, struct isns_server, renewal);

	if (is_busy(s))
		s->wants_full = true;
	else
		begin_round(s, true);
}

static void on_soon(struct loop_timer *t)
{
	struct isns_server *s = container_of(t, struct isns_server, soon);

	if (is_busy(s))
		s->wants_query = true;
	else
		begin_round(s, false);
}

void isns_refresh_soon(struct isns_server *s)
{
	loop_timer_start(&s->renewal, 0);
}

void isns_refresh(struct isns_server *s, struct operation *op)
{
	GError *err = NULL;

	operation_where(op, "discovery/isns/%s", s->name);
	if (is_ended(s) || s->daemon->is_shutting_down) {
		error_set_errno(&err, ISDSC_SERVICE_NOT_RUNNING, EBUSY,
				"iSNS server %s: it is being left", s->name);
		operation_finish(op, err);
		return;
	}
	s->waiting = g_list_append(s->waiting, operation_ref(op));
	operation_step(op, on_cancel, s);
	if (!is_busy(s))
		begin_round(s, true);
}

void isns_initiator_changed(struct isns_server *s)
{
	if (is_busy(s))
		s->wants_full = true;
	else if (s->state == ISNS_STATE_OK)
		loop_timer_start(&s->renewal, 0);
}

void isns_scn(struct isns_server *s, uint32_t bits)
{
	int64_t since_ms = loop_now_ms(s->obj.loop) - s->began_ms;

	s->last_scn_us = g_get_real_time();
	if ((!is_busy(s) && s->state != ISNS_STATE_OK) || s->wants_query ||
	    loop_timer_is_running(&s->soon))
		return;
	event_emit(s->daemon, EVENT_ISNS_CHANGED, "iSNS server %s: something has changed (0x%02x)",
		   s->name, (unsigned)bits);
	if (is_busy(s))
		s->wants_query = true;
	else
		loop_timer_start(&s->soon, MAX(SCN_WAIT_MS, SCN_GAP_MS - since_ms));
}

/* ---- the end ---- */

static void left(struct isns_server *s)
{
	loop_timer_stop(&s->leave_timer);
	isns_client_close(&s->client);
	s->registered.is_there = s->registered.is_subscribed = false;
	s->registered.may_be_there = false;
	set_state(s, ISNS_STATE_GONE);
	isns_servers_left(s);
	if (s->leave_op) {
		operation_finish(s->leave_op, NULL);
		operation_unref(s->leave_op);
		s->leave_op = NULL;
	}
	if (s->is_held) {
		s->is_held = false;
		daemon_release(s->daemon);
		object_unref(&s->obj);
	}
}

static void on_leave_timer(struct loop_timer *t)
{
	struct isns_server *s = container_of(t, struct isns_server, leave_timer);

	log_warning("iSNS server %s: no answer to the deregistration", s->name);
	left(s);
}

static void stop(struct isns_server *s)
{
	g_autoptr(GError) err = NULL;

	error_set_errno(&err, ISDSC_SERVICE_NOT_RUNNING, EBUSY,
			"iSNS server %s: it is being left", s->name);
	set_state(s, ISNS_STATE_LEAVING);
	loop_timer_stop(&s->soon);
	loop_timer_stop(&s->renewal);
	finish_list(&s->asked, err, 0);
	finish_list(&s->waiting, err, 0);
}

void isns_leave(struct isns_server *s, struct operation *op)
{
	if (is_ended(s)) {
		if (op)
			operation_finish(op, NULL);
		return;
	}
	stop(s);
	s->leave_op = op ? operation_ref(op) : NULL;
	s->is_held = true;
	object_ref(&s->obj);
	daemon_hold(s->daemon);
	if (!s->registered.may_be_there) {
		left(s);
		return;
	}
	loop_timer_start(&s->leave_timer, s->daemon->is_shutting_down
						  ? MIN(LEAVE_MS, s->daemon->conf.shutdown_ms)
						  : LEAVE_MS);
	if (s->client.state == ISNS_CLIENT_OPEN)
		ask_deregistration(s);
	else if (s->client.state == ISNS_CLIENT_CLOSED)
		open_client(s);
}

void isns_drop(struct isns_server *s)
{
	if (!is_ended(s))
		stop(s);
	if (s->state == ISNS_STATE_LEAVING)
		left(s);
}

/* ---- making and freeing ---- */

static void isns_free(struct object *o)
{
	struct isns_server *s = container_of(o, struct isns_server, obj);

	isns_client_done(&s->client);
	loop_timer_done(&s->soon);
	loop_timer_done(&s->renewal);
	loop_timer_done(&s->leave_timer);
	isns_query_drop(&s->query);
	login_options_done(&s->options);
	g_free(s->registered.entity);
	g_free(s->registered.node);
	g_free(s->registered.alias);
	g_free(s->told);
	g_free(s->host);
	g_free(s->name);
	g_free(s->mechanism);
	object_done(o);
	g_free(s);
}

struct isns_server *isns_new(struct daemon *d, const char *host, uint16_t port,
			     const struct login_options *options)
{
	struct isns_server *s = g_new0(struct isns_server, 1);

	object_init(&s->obj, d->loop, OBJECT_ISNS, isns_free);
	s->daemon = d;
	s->host = g_strdup(host);
	s->port = port;
	s->name = text_format_portal(host, port);
	s->mechanism = g_strdup_printf("isns:%s", s->name);
	s->options = *options;
	s->retry_ms = RETRY_FIRST_MS;
	s->reopen_ms = REOPEN_FIRST_MS;
	loop_timer_init(d->loop, &s->soon, on_soon);
	loop_timer_init(d->loop, &s->renewal, on_renewal);
	loop_timer_init(d->loop, &s->leave_timer, on_leave_timer);
	isns_client_init(&s->client, d->loop, d->worker, s->name, s->host, port, &client_calls, s);
	return s;
}
