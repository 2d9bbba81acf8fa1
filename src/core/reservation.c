/* SPDX-License-Identifier: BSD-2-Clause */
/* What is known of the reservations of a disk, and what follows from it; see the header. */
#include "core/reservation.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "core/disk.h"
#include "core/event.h"
#include "core/target.h"

#define CONFLICT_ASK_US G_USEC_PER_SEC /* a storm of conflicts asks once in this time */

/* disk->reservation, made when there is something to know, freed with the disk. */
struct reservation {
	unsigned changes; /* of ours, so far */
	bool is_asking;	  /* in the background */
	bool is_again;	  /* ... and it is to be asked once more */
	bool is_shared;	  /* a path lacks a key that others have */
	unsigned asked_changes; /* @changes when it was asked */
	int64_t asked_us;
	char blame[600]; /* who holds it; "": not known */
};

static struct reservation *known(struct disk *d)
{
	if (!d->reservation)
		d->reservation = g_new0(struct reservation, 1);
	return d->reservation;
}

unsigned reservation_changes(const struct disk *d)
{
	return d->reservation ? d->reservation->changes : 0;
}

void reservation_changed(struct disk *d)
{
	struct reservation *k = known(d);

	k->changes++;
	k->blame[0] = '\0';
}

static struct daemon *daemon_of(const struct disk *d)
{
	return ((const struct lun *)d->luns->data)->target->daemon;
}

struct path *reservation_pick(const struct disk *d, bool is_registered)
{
	struct path *best = NULL;

	list_for_each(pos, &d->paths) {
		struct path *p = list_entry(pos, struct path, link);

		if (p->state < PATH_UNVERIFIED && session_is_usable(p->session) &&
		    (p->has_key || !is_registered) && (!best || p->state < best->state))
			best = p;
	}
	return best;
}

/* ---- who is who ---- */

static bool is_path(const struct path *p, const struct reserve_registrant *r)
{
	const struct session_config *c = &p->session->config;

	return c->initiator_name && !g_ascii_strcasecmp(c->initiator_name, r->name) &&
	       (!r->has_isid || !memcmp(c->isid, r->isid, sizeof(r->isid)));
}

static const struct reserve_registrant *registrant(const struct reservation_view *v, unsigned i)
{
	return &g_array_index(v->registrants, struct reserve_registrant, i);
}

/* Without names, a key that we use is taken for ours. */
struct path *reservation_path(const struct disk *d, const struct reservation_view *v,
			      unsigned i)
{
	const struct reserve_registrant *r = registrant(v, i);

	list_for_each(pos, &d->paths) {
		struct path *p = list_entry(pos, struct path, link);

		if (v->has_names ? is_path(p, r) : p->has_key && p->key == r->key)
			return p;
	}
	return NULL;
}

static bool is_any_ours(const struct disk *d, const struct reservation_view *v, bool is_holder)
{
	for (unsigned i = 0; i < v->registrants->len; i++)
		if ((registrant(v, i)->is_holder || !is_holder) && reservation_path(d, v, i))
			return true;
	return false;
}

bool reservation_is_held_here(const struct disk *d, const struct reservation_view *v)
{
	return v->is_held && is_any_ours(d, v, true);
}

bool reservation_is_open_here(const struct disk *d, const struct reservation_view *v)
{
	return v->is_held && is_any_ours(d, v, !reserve_type_is_shared(v->type));
}

/* The first that holds it; NULL: the target does not tell. */
static const struct reserve_registrant *find_holder(const struct reservation_view *v)
{
	for (unsigned i = 0; i < v->registrants->len; i++)
		if (registrant(v, i)->is_holder)
			return registrant(v, i);
	return NULL;
}

static void append_name(GString *out, const char *before, const struct reserve_registrant *r)
{
	if (!r || !*r->name)
		return;
	g_string_append(out, before);
	operation_quote(out, r->name, false);
}

void reservation_describe(const struct disk *d, const struct reservation_view *v, GString *out)
{
	const struct reserve_registrant *r = find_holder(v);

	if (!v->is_held) {
		g_string_append(out, "nobody holds it");
		return;
	}
	g_string_append(out, "held by ");
	if (reservation_is_held_here(d, v)) {
		g_string_append(out, "this side");
	} else if (reserve_type_is_all(v->type)) {
		g_string_append(out, "all that are registered");
		append_name(out, ", such as ", r);
	} else if (r && *r->name) {
		append_name(out, "", r);
	} else {
		g_string_append(out, "another initiator");
	}
	g_string_append_printf(out, " (key 0x%" G_GINT64_MODIFIER "x, %s)",
			       r ? r->key : v->holder, reserve_type_name(v->type));
}

void reservation_advise(const struct disk *d, const struct reservation_view *v, GString *out)
{
	const struct reserve_registrant *r = find_holder(v);

	if (!v->is_held)
		g_string_append(out, "`register KEY` and `reserve TYPE` take it");
	else if (reservation_is_held_here(d, v) && !reserve_type_is_shared(v->type))
		g_string_append(out, "only the path that reserved it can be used, unless the "
				     "type is a registrants-only one");
	else if (reservation_is_open_here(d, v))
		g_string_append(out, "this side is registered, which is enough to use it");
	else if (reserve_type_is_shared(v->type))
		g_string_append(out, "`register KEY` shares it");
	else
		g_string_append_printf(out,
				       "let it release it, or take it by `register KEY` and "
				       "`preempt 0x%" G_GINT64_MODIFIER "x`",
				       r ? r->key : v->holder);
}

/* ---- learning ---- */

/* What an I/O that met a conflict is told. */
static void set_blame(struct disk *d, const struct reservation_view *v)
{
	g_autoptr(GString) text = g_string_new(NULL);

	if (v->is_held) {
		reservation_describe(d, v, text);
		g_string_append(text, ": ");
		reservation_advise(d, v, text);
	} else {
		g_string_append(text,
				"no persistent reservation is held now: it was released since, "
				"or another initiator has it by RESERVE of SCSI-2");
	}
	g_strlcpy(known(d)->blame, text->str, sizeof(known(d)->blame));
}

static const struct reserve_registrant *find_registration(const struct reservation_view *v,
							  const struct path *p)
{
	for (unsigned i = 0; i < v->registrants->len; i++) {
		const struct reserve_registrant *r = registrant(v, i);

		if (v->has_names ? is_path(p, r) : p->has_key && p->key == r->key)
			return r;
	}
	return NULL;
}

void reservation_lose_key(struct path *p)
{
	p->has_key = p->is_key_shared = false;
	event_emit(daemon_of(p->disk), EVENT_RESERVATION_CHANGED,
		   "%s: path by session %u: its key 0x%" G_GINT64_MODIFIER
		   "x is not registered any more",
		   p->disk->name, p->session->sid, p->key);
}

bool reservation_is_in_doubt(const struct path *p)
{
	return p->has_key && p->key_life != p->session->lives && p->state < PATH_UNVERIFIED;
}

static void learn_path(struct path *p, const struct reservation_view *v)
{
	const struct reserve_registrant *r = find_registration(v, p);

	if (r) {
		p->is_key_shared &= p->has_key;
		p->has_key = true;
		p->key = r->key;
	} else if (p->has_key && !v->is_cut) {
		reservation_lose_key(p);
	}
	/* Without names, somebody has that key, perhaps it is not we. */
	if (p->has_key && v->has_names)
		p->key_life = p->session->lives;
}

void reservation_learn(struct disk *d, const struct reservation_view *v, unsigned changes)
{
	if (changes != reservation_changes(d))
		return;
	list_for_each(pos, &d->paths)
		learn_path(list_entry(pos, struct path, link), v);
	set_blame(d, v);
}

/* ---- in the background ---- */

static void ask_for(struct disk *d);

/* A path that has no key, while those by which it was registered still have theirs: 0 is none.
 */
static uint64_t missing_key(const struct disk *d)
{
	const struct path *donor = NULL;
	bool is_missing = false;

	list_for_each(pos, &d->paths) {
		const struct path *p = list_entry(pos, struct path, link);
		const struct nexus *n = nexus_of_session(p->session);

		if (p->has_key && p->is_key_shared)
			donor = p;
		else if (!p->has_key && p->state < PATH_UNVERIFIED && !(n && n->has_pr_key))
			is_missing = true;
	}
	return is_missing && donor ? donor->key : 0;
}

static bool is_any_in_doubt(const struct disk *d)
{
	list_for_each(pos, &d->paths)
		if (reservation_is_in_doubt(list_entry(pos, struct path, link)))
			return true;
	return false;
}

/* What is to be done now that everything is known; NULL: nothing could be learned. */
static void go_on(struct lun *l, const struct reservation_view *v)
{
	struct disk *d = l->disk;
	uint64_t key = v && known(d)->is_shared ? missing_key(d) : 0;

	known(d)->is_shared = false;
	if (v && is_any_in_doubt(d))
		reservation_register_again(l);
	else if (key)
		reservation_register_rest(l, key);
}

static void on_asked(void *arg, const struct reservation_view *v, const GError *err)
{
	struct lun *l = arg;
	struct disk *d = l->disk;
	struct reservation *k = known(d);
	/* An answer that is old says nothing: perhaps we have been fenced off since. */
	bool is_old = k->is_again || k->asked_changes != k->changes;

	if (err && error_errno(err) == EBUSY)
		g_strlcpy(k->blame, err->message, sizeof(k->blame));
	k->is_asking = false;
	if (is_old)
		ask_for(d);
	else
		go_on(l, v);
	object_unref(&l->obj);
}

/* Ask, if somebody can be asked; what came of it is in what is known. */
static void ask_for(struct disk *d)
{
	struct path *p = reservation_pick(d, false);
	struct reservation *k = known(d);

	k->is_again = k->is_asking;
	if (!p || !p->lun || k->is_asking)
		return;
	k->is_asking = true;
	k->asked_us = loop_now_us(d->loop);
	k->asked_changes = k->changes;
	object_ref(&p->lun->obj);
	reservation_ask(p->lun, on_asked, p->lun);
}

void reservation_attention(struct disk *d, struct path *p)
{
	reservation_changed(d);
	event_emit(daemon_of(d), EVENT_RESERVATION_CHANGED,
		   "%s: path by session %u: the target says that reservations were preempted, "
		   "released or cleared",
		   d->name, p ? p->session->sid : 0);
	ask_for(d);
}

void reservation_conflict(struct disk *d)
{
	const struct reservation *k = known(d);

	if (!k->is_asking &&
	    (!k->asked_us || loop_now_us(d->loop) >= k->asked_us + CONFLICT_ASK_US))
		ask_for(d);
}

const char *reservation_blame(const struct disk *d)
{
	return d->reservation ? d->reservation->blame : "";
}

void reservation_share(struct disk *d)
{
	if (!missing_key(d) && !is_any_in_doubt(d))
		return;
	known(d)->is_shared = true;
	ask_for(d);
}

void reservation_found(struct path *p, const struct nexus *n, const struct lun_facts *f)
{
	if (!f->is_registered)
		return;
	p->has_key = true;
	p->key = n->pr_key;
	p->key_life = p->session->lives;
	p->is_key_shared = false; /* other sessions have their own, or none */
	reservation_changed(p->disk);
}

/* ---- the file ---- */

struct listing {
	struct lun *lun;
	struct operation *op;
	struct reservation_ask *ask;
	/* Puts what was told into the operation. NULL or why not. */
	GError *(*tell)(const struct disk *d, const struct reservation_view *v, GString *out);
};

static void listing_end(struct listing *x, GError *err)
{
	operation_step(x->op, NULL, NULL);
	operation_finish(x->op, err);
	operation_unref(x->op);
	object_unref(&x->lun->obj);
	g_free(x);
}

static void on_told(void *arg, const struct reservation_view *v, const GError *err)
{
	struct listing *x = arg;

	listing_end(x, v ? x->tell(x->lun->disk, v, x->op->result) : g_error_copy(err));
}

static void on_cancel(struct operation *op)
{
	struct listing *x = op->step;

	reservation_ask_cancel(x->ask);
	listing_end(x, NULL);
}

static void ask_and_tell(struct object *lun, struct operation *op,
			 GError *(*tell)(const struct disk *d, const struct reservation_view *v,
					 GString *out))
{
	struct listing *x = g_new0(struct listing, 1);

	x->lun = container_of(lun, struct lun, obj);
	object_ref(lun);
	x->op = operation_ref(op);
	x->tell = tell;
	operation_set_timeout(op, x->lun->disk->timeout_ms);
	operation_step(op, on_cancel, x);
	x->ask = reservation_ask(x->lun, on_told, x);
}

static void print_key(GString *out, const char *what, uint64_t key)
{
	g_string_append_printf(out, "%s 0x%016" G_GINT64_MODIFIER "x", what, key);
}

static void print_registrant(const struct disk *d, const struct reservation_view *v, unsigned i,
			     GString *out)
{
	const struct reserve_registrant *r = registrant(v, i);

	print_key(out, "key", r->key);
	if (*r->name) {
		g_string_append_c(out, ' ');
		operation_quote(out, r->name, false);
	}
	if (r->has_isid)
		g_string_append_printf(out, " isid 0x%02x%02x%02x%02x%02x%02x", r->isid[0],
				       r->isid[1], r->isid[2], r->isid[3], r->isid[4],
				       r->isid[5]);
	if (v->has_names && !r->is_all_ports)
		g_string_append_printf(out, " port %u", r->port);
	if (reservation_path(d, v, i))
		g_string_append(out, " this");
	if (r->is_holder)
		g_string_append(out, " holder");
	g_string_append_c(out, '\n');
}

static void print_holder(const struct disk *d, const struct reservation_view *v, GString *out)
{
	const struct reserve_registrant *r = find_holder(v);

	if (!v->is_held) {
		g_string_append(out, "holder none\n");
		return;
	}
	if (reserve_type_is_all(v->type))
		g_string_append(out, "holder all");
	else
		print_key(out, "holder", v->holder);
	g_string_append_printf(out, " type %s", reserve_type_name(v->type));
	if (r && *r->name && !reserve_type_is_all(v->type)) {
		g_string_append_c(out, ' ');
		operation_quote(out, r->name, false);
	}
	g_string_append(out, reservation_is_held_here(d, v) ? " this\n" : "\n");
}

static GError *tell_list(const struct disk *d, const struct reservation_view *v, GString *out)
{
	g_string_append_printf(out, "generation %u\n", (unsigned)v->generation);
	for (unsigned i = 0; i < v->registrants->len; i++)
		print_registrant(d, v, i, out);
	if (v->is_cut)
		g_string_append(out, "# there are more, for which the answer had no room\n");
	print_holder(d, v, out);
	return NULL;
}

void reservation_list(struct object *lun, struct operation *op)
{
	ask_and_tell(lun, op, tell_list);
}

/* ---- the guard ---- */

bool reservation_is_guarded(const struct lun *l)
{
	list_for_each(pos, &l->disk->paths) {
		const struct path *p = list_entry(pos, struct path, link);
		const struct nexus *n = nexus_of_session(p->session);

		if (n && n->is_guarded)
			return true;
	}
	return false;
}

static GError *tell_guard(const struct disk *d, const struct reservation_view *v, GString *out)
{
	g_autoptr(GString) who = g_string_new(NULL);
	GError *err = NULL;

	(void)out;
	if (reservation_is_open_here(d, v))
		return NULL;
	reservation_describe(d, v, who);
	g_string_append(who, "; in the file reservations, ");
	reservation_advise(d, v, who);
	error_set_errno(&err, ISDSC_SCSI_REQUEST_FAILED, EBUSY,
			"%s: it is guarded (guard=yes), and reserved for us it is not: %s",
			d->name, who->str);
	return err;
}

void reservation_check(struct object *lun, struct operation *op)
{
	ask_and_tell(lun, op, tell_guard);
}
