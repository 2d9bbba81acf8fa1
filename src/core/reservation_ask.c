/* SPDX-License-Identifier: BSD-2-Clause */
/* Who is registered, who holds it? READ KEYS first, which every target with persistent
 * reservations has. READ FULL STATUS tells all of it at one moment, with names; where there is
 * none, READ RESERVATION tells the holder's key, and the two answers must be of one generation.
 *
 *   step     what is asked                       next
 *   KEYS     READ KEYS                           STATUS; (done) when there are none
 *   STATUS   READ FULL STATUS                    (done); HELD when the target has no such thing
 *   HELD     READ RESERVATION                    (done); KEYS when they changed in between
 *
 * An ask lives until its done() or its cancel; it holds the unit, and the end of the daemon
 * waits for it. When its path fails it goes on by another one, and while there is none it waits
 * for one, as long as a request of the disk would (disk->timeout_ms).
 *
 *   where it stands     true in it
 *   call is queued      it begins
 *   query is set        @step is asked
 *   timer is running    there are paths, none can be used now
 */
#include "core/reservation.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "core/disk.h"
#include "core/query.h"
#include "core/target.h"

#define ROUNDS_MAX 4 /* registrations change between two answers, or paths fail */
#define HELD_BYTES 24
#define PATH_LOOK_MS 100 /* is there one again? */

enum step { STEP_KEYS, STEP_STATUS, STEP_HELD };

struct reservation_ask {
	struct lun *lun;
	struct query *query;
	struct loop_call call;
	struct loop_timer timer;
	int64_t deadline_us; /* for waiting */
	enum step step;
	unsigned rounds, changes;
	struct reservation_view view;
	void (*done)(void *arg, const struct reservation_view *v, const GError *err);
	void *arg;
};

static void ask_free(struct reservation_ask *a)
{
	daemon_release(a->lun->target->daemon);
	loop_call_cancel(&a->call);
	loop_timer_done(&a->timer);
	g_array_unref(a->view.registrants);
	object_unref(&a->lun->obj);
	g_free(a);
}

static void ask_end(struct reservation_ask *a, GError *err)
{
	if (!err)
		reservation_learn(a->lun->disk, &a->view, a->changes);
	a->done(a->arg, err ? NULL : &a->view, err);
	g_clear_error(&err);
	ask_free(a);
}

/* Some targets refuse to tell anything then, even to the one who has it. */
static const struct session *find_legacy(const struct disk *d)
{
	list_for_each(pos, &d->paths) {
		const struct path *p = list_entry(pos, struct path, link);

		if (p->legacy_life && p->legacy_life == p->session->lives)
			return p->session;
	}
	return NULL;
}

static GError *legacy_error(const struct disk *d)
{
	const struct session *s = find_legacy(d);
	GError *err = NULL;

	if (s)
		error_set_errno(&err, ISDSC_SCSI_REQUEST_FAILED, EBUSY,
				"%s: this side has it by `reserve-legacy`, session %u: "
				"`release-legacy` comes before persistent reservations",
				d->name, s->sid);
	else
		error_set_errno(&err, ISDSC_SCSI_REQUEST_FAILED, EBUSY,
				"%s: another initiator has it by RESERVE of SCSI-2, and the "
				"target does not tell which: let it release it, or write "
				"`reset` to ctl, which ends that reservation",
				d->name);
	return err;
}

static void ask_fail(struct reservation_ask *a, const struct query_answer *answer)
{
	const char *name = a->lun->disk->name;
	GError *err = NULL;

	if (answer->has_response && answer->status == SCSI_RESERVATION_CONFLICT)
		err = legacy_error(a->lun->disk);
	else if (answer->result == -EOPNOTSUPP || answer->result == -EINVAL)
		error_set_errno(&err, ISDSC_REQUEST_NOT_SUPPORTED, EOPNOTSUPP,
				"%s: the target does no persistent reservations here (%s): use "
				"`reserve-legacy`, if it knows that, or switch them on at the "
				"target",
				name, answer->text);
	else
		error_set_errno(&err, ISDSC_SCSI_REQUEST_FAILED, -answer->result,
				"%s: asking for its reservations: %s", name, answer->text);
	ask_end(a, err);
}

/* ---- the answers ---- */

static void add_keys(struct reservation_view *v, const uint8_t *data, size_t bytes)
{
	size_t count = reserve_keys_count(data, bytes);

	g_array_set_size(v->registrants, 0);
	for (size_t i = 0; i < count; i++) {
		struct reserve_registrant r = { .key = reserve_keys_get(data, i) };

		g_array_append_val(v->registrants, r);
	}
}

/* False: not a list. */
static bool take_header(struct reservation_view *v, const struct query_answer *answer)
{
	uint32_t needed;

	if (answer->result < 0 ||
	    reserve_list_header(answer->data, answer->bytes, &v->generation, &needed) < 0)
		return false;
	v->is_cut = needed > answer->bytes;
	return true;
}

/* False: nothing of use. */
static bool take_status(struct reservation_view *v, const struct query_answer *answer)
{
	struct reserve_registrant r;
	struct reservation_view of = { 0 };
	size_t at = 0;

	if (!take_header(&of, answer) ||
	    !reserve_status_next(answer->data, answer->bytes, &at, &r))
		return false;
	of.registrants = v->registrants;
	of.has_names = true;
	g_array_set_size(of.registrants, 0);
	do {
		g_array_append_val(of.registrants, r);
		if (!r.is_holder)
			continue;
		of.is_held = true;
		of.type = r.type;
		of.holder = r.key;
	} while (reserve_status_next(answer->data, answer->bytes, &at, &r));
	*v = of;
	return true;
}

static void take_held(struct reservation_view *v, const struct reserve_held *held)
{
	v->is_held = held->is_held;
	v->type = held->type;
	v->holder = held->key;
	for (unsigned i = 0; i < v->registrants->len; i++) {
		struct reserve_registrant *r =
			&g_array_index(v->registrants, struct reserve_registrant, i);

		r->is_holder = held->is_held &&
			       (reserve_type_is_all(held->type) || r->key == held->key);
	}
}

static void ask_send(struct reservation_ask *a, enum step step);

/* From the start, unless that was tried often enough. */
static bool ask_again(struct reservation_ask *a)
{
	if (++a->rounds >= ROUNDS_MAX)
		return false;
	ask_send(a, STEP_KEYS);
	return true;
}

static void on_keys(struct reservation_ask *a, const struct query_answer *answer)
{
	GError *err = NULL;

	if (answer->result < 0) {
		ask_fail(a, answer);
		return;
	}
	if (!take_header(&a->view, answer)) {
		error_set_errno(&err, ISDSC_TARGET_ERROR, EPROTO,
				"%s: the target's list of keys is not understood",
				a->lun->disk->name);
		ask_end(a, err);
		return;
	}
	add_keys(&a->view, answer->data, answer->bytes);
	if (!a->view.registrants->len && !a->view.is_cut)
		ask_end(a, NULL);
	else
		ask_send(a, STEP_STATUS);
}

static void on_held(struct reservation_ask *a, const struct query_answer *answer)
{
	struct reserve_held held;
	GError *err = NULL;

	if (answer->result < 0) {
		ask_fail(a, answer);
		return;
	}
	if (reserve_held_decode(answer->data, answer->bytes, &held) < 0) {
		error_set_errno(
			&err, ISDSC_TARGET_ERROR, EPROTO,
			"%s: what the target tells of its reservation is not understood",
			a->lun->disk->name);
		ask_end(a, err);
		return;
	}
	if (held.generation != a->view.generation && ask_again(a))
		return;
	take_held(&a->view, &held);
	ask_end(a, NULL);
}

static void on_answer(void *arg, const struct query_answer *answer)
{
	struct reservation_ask *a = arg;
	bool is_unheard = answer->result < 0 && !answer->has_response;

	a->query = NULL;
	if (is_unheard && ask_again(a))
		return;
	switch (a->step) {
	case STEP_KEYS:
		on_keys(a, answer);
		break;
	case STEP_STATUS:
		if (take_status(&a->view, answer))
			ask_end(a, NULL);
		else
			ask_send(a, STEP_HELD);
		break;
	case STEP_HELD:
		on_held(a, answer);
		break;
	}
}

/* ---- the questions ---- */

static bool is_worth_waiting(const struct reservation_ask *a)
{
	const struct disk *d = a->lun->disk;

	return !d->is_gone && !list_is_empty(&d->paths) &&
	       !a->lun->target->daemon->is_shutting_down &&
	       loop_now_us(d->loop) < a->deadline_us;
}

/* No path can be used. */
static void ask_wait(struct reservation_ask *a)
{
	GError *err = NULL;

	if (is_worth_waiting(a)) {
		loop_timer_start(&a->timer, PATH_LOOK_MS);
		return;
	}
	error_set_errno(&err, ISDSC_CONNECTION_FAILED, EIO,
			"%s: no session to ask for its reservations by", a->lun->disk->name);
	ask_end(a, err);
}

static void ask_send(struct reservation_ask *a, enum step step)
{
	static const enum reserve_in actions[] = {
		[STEP_KEYS] = RESERVE_READ_KEYS,
		[STEP_STATUS] = RESERVE_READ_FULL_STATUS,
		[STEP_HELD] = RESERVE_READ_RESERVATION,
	};
	struct path *p = reservation_pick(a->lun->disk, false);
	uint16_t bytes = step == STEP_HELD ? HELD_BYTES : RESERVE_IN_BYTES_MAX;
	uint8_t cdb[TASK_CDB_MAX];
	unsigned cdb_bytes = reserve_in_cdb(cdb, actions[step], bytes);

	if (!p) {
		ask_wait(a);
		return;
	}
	a->step = step;
	if (step == STEP_KEYS)
		a->changes = reservation_changes(a->lun->disk);
	a->query = query_start(p->session, p->wire, cdb, cdb_bytes, bytes, on_answer, a);
}

static void on_timer(struct loop_timer *timer)
{
	ask_send(container_of(timer, struct reservation_ask, timer), STEP_KEYS);
}

static void ask_begin(struct loop_call *call)
{
	ask_send(container_of(call, struct reservation_ask, call), STEP_KEYS);
}

struct reservation_ask *reservation_ask(
	struct lun *l,
	void (*done)(void *arg, const struct reservation_view *v, const GError *err), void *arg)
{
	struct reservation_ask *a = g_new0(struct reservation_ask, 1);

	a->lun = l;
	object_ref(&l->obj);
	daemon_hold(l->target->daemon);
	a->view.registrants = g_array_new(FALSE, FALSE, sizeof(struct reserve_registrant));
	a->done = done;
	a->arg = arg;
	a->deadline_us = loop_now_us(l->obj.loop) + l->disk->timeout_ms * 1000;
	loop_timer_init(l->obj.loop, &a->timer, on_timer);
	loop_call_init(&a->call, ask_begin);
	loop_call_queue(l->obj.loop, &a->call);
	return a;
}

void reservation_ask_cancel(struct reservation_ask *a)
{
	if (!a)
		return;
	query_cancel(a->query);
	ask_free(a);
}
