/* SPDX-License-Identifier: BSD-2-Clause */
/* The verbs of targets/IQN/lunN/reservations. Each is one change: what must be known first is
 * asked of the target (reservation_ask()), then a command goes to one path or to several, one
 * after the other, and what came of it is noted with the path. A RESERVATION CONFLICT is told
 * with the name of who has it, which is asked for then.
 *
 *   where it stands   true in it                                        next
 *   asking            @ask is set; @plan->choose() decides by the       sending, (end)
 *                     answer where the command goes
 *   sending           @query is set: leg @at has the command            sending, blaming, (end)
 *   blaming           @ask is set: leg @at met a conflict               (end)
 *
 * A command that was sent cannot be taken back: who no longer waits for it may find it done. So
 * every change, also one given up, makes what was asked before old. */
#include "core/reservation.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "core/disk.h"
#include "core/query.h"
#include "core/target.h"

struct change;

struct plan {
	const char *name; /* of the verb */
	enum reserve_out action;
	bool is_legacy;	 /* RESERVE or RELEASE of SPC-2 */
	bool is_release; /* ... which */
	/* Where does it go, by what the target told? FALSE and @err: nowhere; no leg and no
	 * error: there is nothing to do. NULL: choose_now() does. */
	gboolean (*choose)(struct change *c, const struct reservation_view *v, GError **err);
	/* The same without asking. */
	gboolean (*choose_now)(struct change *c, GError **err);
	/* It is done by @p; the other paths of the disk are @c's as well. May be NULL. */
	void (*note)(struct change *c, struct path *p);
};

struct leg {
	struct session *session; /* a reference */
	uint8_t wire[8];
	uint64_t key; /* what it is registered with; 0: not */
	bool is_kept; /* ... and how */
};

struct change {
	struct lun *lun;
	struct operation *op;
	const struct plan *plan;
	uint64_t key;
	uint8_t type; /* 0: not given */
	bool is_ignoring, is_kept, is_aborting;
	bool is_rest;  /* paths that have no key */
	bool is_again; /* paths that are in doubt, with the key that they have */
	bool is_10;    /* RESERVE(6) was not known */
	struct reservation_ask *ask;
	struct query *query;
	GArray *legs; /* of struct leg */
	unsigned at, done;
	GError *error;
};

static void clear_leg(void *p)
{
	object_unref(&((struct leg *)p)->session->obj);
}

static struct leg *leg_of(const struct change *c)
{
	return &g_array_index(c->legs, struct leg, c->at);
}

static void add_leg(struct change *c, const struct path *p)
{
	struct leg leg = { .session = p->session,
			   .key = p->has_key ? p->key : 0,
			   .is_kept = p->is_key_kept };

	memcpy(leg.wire, p->wire, sizeof(leg.wire));
	object_ref(&p->session->obj);
	g_array_append_val(c->legs, leg);
}

static void change_end(struct change *c)
{
	struct disk *d = c->lun->disk;
	GError *err = g_steal_pointer(&c->error);
	/* Else what failed, or could not be sent, would be tried again and again. */
	bool may_go_on = !c->is_rest && !(c->is_again && (err || !c->legs->len));

	if (!err && c->done)
		operation_result(c->op, "paths", "%u", c->done);
	operation_step(c->op, NULL, NULL);
	operation_finish(c->op, err);
	operation_unref(c->op);
	if (may_go_on)
		reservation_share(d);
	daemon_release(c->lun->target->daemon);
	object_unref(&c->lun->obj);
	g_array_unref(c->legs);
	g_free(c);
}

/* ---- failures ---- */

static bool is_still_registered(const struct change *c)
{
	const struct path *p = disk_path_find(c->lun->disk, leg_of(c)->session);

	return p && p->has_key;
}

/* Why did it conflict? Persistent commands conflict with a key that is not ours (any more), and
 * RESERVE with another reservation besides. */
static void explain(const struct change *c, const struct reservation_view *v, GString *why)
{
	const struct disk *d = c->lun->disk;
	bool is_theirs = v && v->is_held && !reservation_is_held_here(d, v);

	if (c->plan->is_legacy)
		g_string_append(why,
				v && v->registrants->len
					? "persistent reservations are in use, and the two "
					  "do not go together"
					: "another initiator has it by RESERVE of SCSI-2");
	else if (c->plan->action == RESERVE_REGISTER)
		g_string_append(why, "this side is registered with another key than is known "
				     "here: `register KEY ignore=yes` replaces it");
	else if (v && !is_still_registered(c))
		g_string_append(why, "our key is not registered any more: `register` again");
	else if (c->plan->action == RESERVE_PREEMPT)
		g_string_append(why, "nobody is registered with that key any more");
	else if (!is_theirs)
		g_string_append(why,
				"this side holds it by another path, or with another type: "
				"`release` it first");
	if (!is_theirs)
		return;
	g_string_append(why, why->len ? "; " : "");
	reservation_describe(d, v, why);
	g_string_append(why, ": ");
	reservation_advise(d, v, why);
}

static void blame(struct change *c, const struct reservation_view *v)
{
	g_autoptr(GString) why = g_string_new(NULL);

	explain(c, v, why);
	error_set_errno(&c->error, ISDSC_SCSI_REQUEST_FAILED, EBUSY,
			"%s: %s: reservation conflict: %s", c->lun->disk->name, c->plan->name,
			why->str);
}

static void on_blamed(void *arg, const struct reservation_view *v, const GError *err)
{
	struct change *c = arg;

	c->ask = NULL;
	if (err && error_errno(err) == EBUSY) /* RESERVE of old is in the way of asking, too */
		c->error = g_error_copy(err);
	else
		blame(c, v);
	change_end(c);
}

static void note_failure(struct change *c, const struct query_answer *a)
{
	const char *hint = "";

	if (c->error) /* the first one counts */
		return;
	if (a->result == -EOPNOTSUPP || a->result == -EINVAL)
		hint = c->plan->is_legacy ? "; the target may not do it: use persistent ones"
					  : "; the target may not do all of it (type, aptpl)";
	error_set_errno(&c->error, ISDSC_SCSI_REQUEST_FAILED, -a->result,
			"%s: %s by session %u: %s%s", c->lun->disk->name, c->plan->name,
			leg_of(c)->session->sid, a->text, hint);
}

/* ---- sending ---- */

static void change_send(struct change *c);

/* Its path may have gone, or have been taken away and come back. */
static void note_success(struct change *c)
{
	struct path *p = disk_path_find(c->lun->disk, leg_of(c)->session);

	c->done++;
	if (p && c->plan->note)
		c->plan->note(c, p);
	reservation_changed(c->lun->disk);
}

/* It is not registered with the key that it had. */
static void forget_leg(struct change *c)
{
	struct path *p = disk_path_find(c->lun->disk, leg_of(c)->session);

	if (p && p->has_key)
		reservation_lose_key(p);
	reservation_changed(c->lun->disk);
}

static bool is_conflict(const struct query_answer *a)
{
	return a->has_response && a->status == SCSI_RESERVATION_CONFLICT;
}

static void on_sent(void *arg, const struct query_answer *a)
{
	struct change *c = arg;

	c->query = NULL;
	if (c->plan->is_legacy && !c->is_10 && a->result == -EOPNOTSUPP) {
		c->is_10 = true;
		change_send(c);
		return;
	}
	if (!a->result) {
		note_success(c);
	} else if (is_conflict(a) && c->is_again) {
		forget_leg(c);
	} else if (is_conflict(a)) {
		reservation_changed(c->lun->disk);
		g_clear_error(&c->error);
		c->ask = reservation_ask(c->lun, on_blamed, c);
		return;
	} else {
		note_failure(c, a);
	}
	c->at++;
	change_send(c);
}

static unsigned build(const struct change *c, uint8_t *cdb, uint8_t data[RESERVE_OUT_BYTES])
{
	const struct leg *leg = leg_of(c);
	enum reserve_out action = c->plan->action;
	bool is_ignoring = action == RESERVE_REGISTER && c->is_ignoring;

	if (c->plan->is_legacy)
		return reserve_legacy_cdb(cdb, c->plan->is_release, c->is_10);
	if (is_ignoring)
		action = RESERVE_REGISTER_AND_IGNORE;
	if (action == RESERVE_PREEMPT && c->is_aborting)
		action = RESERVE_PREEMPT_AND_ABORT;
	if (c->is_again)
		reserve_out_encode(data, leg->key, leg->key, leg->is_kept);
	else
		reserve_out_encode(data, is_ignoring ? 0 : leg->key, c->key, c->is_kept);
	return reserve_out_cdb(cdb, action, c->type);
}

static void change_send(struct change *c)
{
	uint8_t cdb[TASK_CDB_MAX], data[RESERVE_OUT_BYTES];
	unsigned cdb_bytes;

	if (c->at >= c->legs->len) {
		change_end(c);
		return;
	}
	cdb_bytes = build(c, cdb, data);
	c->query = query_write(leg_of(c)->session, leg_of(c)->wire, cdb, cdb_bytes, data,
			       c->plan->is_legacy ? 0 : sizeof(data), on_sent, c);
}

/* ---- the beginning ---- */

static void on_asked(void *arg, const struct reservation_view *v, const GError *err)
{
	struct change *c = arg;

	c->ask = NULL;
	if (err)
		c->error = g_error_copy(err);
	if (err || !c->plan->choose(c, v, &c->error))
		change_end(c);
	else
		change_send(c);
}

static void on_cancel(struct operation *op)
{
	struct change *c = op->step;

	if (c->query)
		reservation_changed(c->lun->disk);
	query_cancel(c->query);
	reservation_ask_cancel(c->ask);
	g_clear_error(&c->error);
	change_end(c);
}

static struct change *change_new(struct lun *l, const struct plan *plan, struct operation *op)
{
	struct change *c = g_new0(struct change, 1);

	c->lun = l;
	object_ref(&l->obj);
	daemon_hold(l->target->daemon);
	c->op = operation_ref(op);
	c->plan = plan;
	c->legs = g_array_new(FALSE, FALSE, sizeof(struct leg));
	g_array_set_clear_func(c->legs, clear_leg);
	operation_step(op, on_cancel, c);
	return c;
}

static void change_start(struct change *c)
{
	if (c->plan->choose)
		c->ask = reservation_ask(c->lun, on_asked, c);
	else if (c->plan->choose_now(c, &c->error))
		change_send(c);
	else
		change_end(c);
}

/* ---- where to ---- */

static gboolean fail(GError **err, int errno_value, const struct change *c, const char *why)
{
	error_set_errno(err, ISDSC_SCSI_REQUEST_FAILED, errno_value, "%s: %s: %s",
			c->lun->disk->name, c->plan->name, why);
	return FALSE;
}

static gboolean fail_no_path(GError **err, const struct change *c)
{
	error_set_errno(err, ISDSC_CONNECTION_FAILED, EIO, "%s: %s: no session to send it by",
			c->lun->disk->name, c->plan->name);
	return FALSE;
}

static bool is_wanted(const struct change *c, const struct path *p)
{
	const struct nexus *n = nexus_of_session(p->session);

	if (p->state >= PATH_UNVERIFIED || !session_is_usable(p->session))
		return false;
	if (c->is_again)
		return reservation_is_in_doubt(p);
	return !c->is_rest || (!p->has_key && !(n && n->has_pr_key));
}

/* Every path that can carry it, or those of them that it is about. */
static gboolean choose_all(struct change *c, GError **err)
{
	list_for_each(pos, &c->lun->disk->paths) {
		const struct path *p = list_entry(pos, struct path, link);

		if (is_wanted(c, p))
			add_leg(c, p);
	}
	return c->legs->len || c->is_rest || c->is_again || fail_no_path(err, c);
}

static gboolean choose_best(struct change *c, GError **err)
{
	const struct path *p = reservation_pick(c->lun->disk, false);

	if (!p)
		return fail_no_path(err, c);
	add_leg(c, p);
	return TRUE;
}

static gboolean choose_registered(struct change *c, GError **err)
{
	const struct path *p = reservation_pick(c->lun->disk, true);

	if (!p)
		return fail(err, EINVAL, c,
			    "this side is not registered: write `register KEY` first");
	add_leg(c, p);
	return TRUE;
}

static const struct reserve_registrant *registrant(const struct reservation_view *v, unsigned i)
{
	return &g_array_index(v->registrants, struct reserve_registrant, i);
}

/* The path of ours that holds it, when the target tells. */
static struct path *find_holding_path(const struct change *c, const struct reservation_view *v)
{
	for (unsigned i = 0; v->has_names && i < v->registrants->len; i++) {
		struct path *p = registrant(v, i)->is_holder
					 ? reservation_path(c->lun->disk, v, i)
					 : NULL;

		if (p && (!reserve_type_is_all(v->type) || session_is_usable(p->session)))
			return p;
	}
	return NULL;
}

/* The same path again may "reserve" what it holds; another one may not. */
static gboolean choose_reserve(struct change *c, const struct reservation_view *v, GError **err)
{
	struct path *p = v->is_held && v->type == c->type ? find_holding_path(c, v) : NULL;

	if (!p || !session_is_usable(p->session))
		return choose_registered(c, err);
	add_leg(c, p);
	return TRUE;
}

/* By the path that holds it. Where the target does not tell which that is, by all of ours: for
 * the others it does nothing (SPC-4 5.12.11.2.2). */
static gboolean choose_release(struct change *c, const struct reservation_view *v, GError **err)
{
	struct path *p = find_holding_path(c, v);
	g_autoptr(GString) who = NULL;

	if (!v->is_held)
		return TRUE;
	c->type = v->type;
	if (p && !session_is_usable(p->session)) {
		error_set_errno(
			err, ISDSC_CONNECTION_FAILED, EIO,
			"%s: release: session %u holds it, and has no connection now: wait "
			"for it, or `preempt 0x%" G_GINT64_MODIFIER "x` by another path",
			c->lun->disk->name, p->session->sid, p->key);
		return FALSE;
	}
	if (p) {
		add_leg(c, p);
		return TRUE;
	}
	if (!v->has_names && reservation_is_held_here(c->lun->disk, v)) {
		list_for_each(pos, &c->lun->disk->paths) {
			p = list_entry(pos, struct path, link);
			if (p->has_key && p->state < PATH_UNVERIFIED &&
			    session_is_usable(p->session))
				add_leg(c, p);
		}
		return c->legs->len || fail_no_path(err, c);
	}
	who = g_string_new("it is not ours to release: ");
	reservation_describe(c->lun->disk, v, who);
	return fail(err, EBUSY, c, who->str);
}

static bool has_key(const struct reservation_view *v, uint64_t key)
{
	for (unsigned i = 0; i < v->registrants->len; i++)
		if (registrant(v, i)->key == key)
			return true;
	return v->is_cut;
}

/* Whoever preempts the holder gets the reservation, of the type that is asked for: the same as
 * it was, unless a person says otherwise. Key 0 is all others, when all hold it. */
static gboolean choose_preempt(struct change *c, const struct reservation_view *v, GError **err)
{
	bool is_all = v->is_held && reserve_type_is_all(v->type);
	bool is_known = c->key ? has_key(v, c->key) : is_all;

	if (!is_known)
		return fail(
			err, ENOENT, c,
			c->key ? "nobody is registered with that key: read the file for "
				 "those that are"
			       : "key 0 stands for all registrants, and they do not hold it");
	if (!c->type)
		c->type = v->is_held ? v->type : RESERVE_WRITE_EXCLUSIVE;
	return choose_registered(c, err);
}

/* ---- what came of it ---- */

/* What a path that is away now is registered with is no longer what further ones are to get. */
static void note_register(struct change *c, struct path *p)
{
	p->key_life = p->session->lives;
	if (c->is_again)
		return;
	if (!c->is_rest && c->done == 1)
		list_for_each(pos, &c->lun->disk->paths)
			list_entry(pos, struct path, link)->is_key_shared = false;
	p->has_key = p->is_key_shared = c->key != 0;
	p->is_key_kept = c->is_kept;
	p->key = c->key;
}

static void note_reserve(struct change *c, struct path *p)
{
	if (!reserve_type_is_shared(c->type) && c->lun->disk->usable_paths > 1)
		operation_result(
			c->op, "note",
			"only the path by session %u can use it; a registrants-only type "
			"is for several paths",
			p->session->sid);
}

/* Key 0 is all others, further paths of ours too: these get theirs again, as what is shared. */
static void note_preempt(struct change *c, struct path *by)
{
	list_for_each(pos, &c->lun->disk->paths) {
		struct path *p = list_entry(pos, struct path, link);

		if (p != by && p->has_key && (!c->key || p->key == c->key))
			p->has_key = p->is_key_shared = false;
	}
}

static void note_clear(struct change *c, struct path *by)
{
	(void)by;
	list_for_each(pos, &c->lun->disk->paths) {
		struct path *p = list_entry(pos, struct path, link);

		p->has_key = p->is_key_shared = false;
	}
}

/* It ends with the session, so that this life of it counts. */
static void note_legacy(struct change *c, struct path *p)
{
	p->legacy_life = c->plan->is_release ? 0 : p->session->lives;
}

static const struct plan plan_register = {
	.name = "register",
	.action = RESERVE_REGISTER,
	.choose_now = choose_all,
	.note = note_register,
};
static const struct plan plan_reserve = {
	.name = "reserve",
	.action = RESERVE_RESERVE,
	.choose = choose_reserve,
	.note = note_reserve,
};
static const struct plan plan_release = {
	.name = "release",
	.action = RESERVE_RELEASE,
	.choose = choose_release,
};
static const struct plan plan_preempt = {
	.name = "preempt",
	.action = RESERVE_PREEMPT,
	.choose = choose_preempt,
	.note = note_preempt,
};
static const struct plan plan_clear = {
	.name = "clear",
	.action = RESERVE_CLEAR,
	.choose_now = choose_registered,
	.note = note_clear,
};
static const struct plan plan_reserve_legacy = {
	.name = "reserve-legacy",
	.is_legacy = true,
	.choose_now = choose_best,
	.note = note_legacy,
};
static const struct plan plan_release_legacy = {
	.name = "release-legacy",
	.is_legacy = true,
	.is_release = true,
	.choose_now = choose_all,
	.note = note_legacy,
};

/* ---- the verbs ---- */

static struct lun *to_lun(struct object *obj)
{
	return container_of(obj, struct lun, obj);
}

static gboolean parse_key(const char *text, uint64_t *ret, GError **err)
{
	if (text_parse_u64(text, 0, UINT64_MAX, ret) == 0)
		return TRUE;
	error_set(err, ISDSC_INVALID_PARAMETER,
		  "\"%s\" is no key: a number of 64 bits is, decimal or 0x and hexadecimal",
		  text);
	return FALSE;
}

static gboolean parse_type(const char *text, uint8_t *ret, GError **err)
{
	if (reserve_type_parse(text, ret) == 0)
		return TRUE;
	error_set(err, ISDSC_INVALID_PARAMETER,
		  "\"%s\" is no type: write-exclusive or exclusive-access is, each also with "
		  "-registrants-only or -all-registrants behind it",
		  text);
	return FALSE;
}

static void start_or_fail(struct change *c, gboolean is_parsed)
{
	if (is_parsed)
		change_start(c);
	else
		change_end(c);
}

static void run_register(struct object *obj, const struct command *cmd, struct operation *op)
{
	struct change *c = change_new(to_lun(obj), &plan_register, op);

	c->is_ignoring = command_bool(cmd, "ignore", false);
	c->is_kept = command_bool(cmd, "aptpl", false);
	start_or_fail(c, parse_key(cmd->args[0], &c->key, &c->error));
}

static void run_reserve(struct object *obj, const struct command *cmd, struct operation *op)
{
	struct change *c = change_new(to_lun(obj), &plan_reserve, op);

	start_or_fail(c, parse_type(cmd->args[0], &c->type, &c->error));
}

static void run_release(struct object *obj, const struct command *cmd, struct operation *op)
{
	(void)cmd;
	change_start(change_new(to_lun(obj), &plan_release, op));
}

static void run_preempt(struct object *obj, const struct command *cmd, struct operation *op)
{
	struct change *c = change_new(to_lun(obj), &plan_preempt, op);
	const char *type = command_key(cmd, "type");

	c->is_aborting = command_bool(cmd, "abort", false);
	start_or_fail(c, parse_key(cmd->args[0], &c->key, &c->error) &&
				 (!type || parse_type(type, &c->type, &c->error)));
}

static void run_clear(struct object *obj, const struct command *cmd, struct operation *op)
{
	(void)cmd;
	change_start(change_new(to_lun(obj), &plan_clear, op));
}

static void run_reserve_legacy(struct object *obj, const struct command *cmd,
			       struct operation *op)
{
	(void)cmd;
	change_start(change_new(to_lun(obj), &plan_reserve_legacy, op));
}

static void run_release_legacy(struct object *obj, const struct command *cmd,
			       struct operation *op)
{
	(void)cmd;
	change_start(change_new(to_lun(obj), &plan_release_legacy, op));
}

static const struct command_key register_keys[] = {
	{ "ignore", COMMAND_BOOL,
	  .help = "replaces whatever key this side is registered with" },
	{ "aptpl", COMMAND_BOOL,
	  .help = "the target keeps registrations and reservation through a loss of power" },
	{ 0 },
};

static const struct command_key preempt_keys[] = {
	{ "abort", COMMAND_BOOL, .help = "also end the commands of those that are preempted" },
	{ "type", COMMAND_TEXT, .help = "of the reservation then; default: as it was" },
	{ 0 },
};

const struct verb reservation_verbs[] = {
	{ "register", "KEY", 1, 1, register_keys, NULL, run_register,
	  "register each path with this key (not 0), decimal or 0x...; 0: not any more" },
	{ "reserve", "TYPE", 1, 1, NULL, NULL, run_reserve,
	  "write-exclusive or exclusive-access, -registrants-only or -all-registrants" },
	{ "release", "", 0, 0, NULL, NULL, run_release, "give the reservation back" },
	{ "preempt", "KEY", 1, 1, preempt_keys, NULL, run_preempt,
	  "take away that registration, and the reservation, if it holds that" },
	{ "clear", "", 0, 0, NULL, NULL, run_clear,
	  "take away the reservation and all registrations, ours too" },
	{ "reserve-legacy", "", 0, 0, NULL, NULL, run_reserve_legacy,
	  "RESERVE(6) or (10), by one path; lost with its session" },
	{ "release-legacy", "", 0, 0, NULL, NULL, run_release_legacy, "RELEASE(6) or (10)" },
	{ 0 },
};

/* ---- in the background ---- */

static void on_registered(struct operation *op, void *arg)
{
	struct lun *l = arg;

	if (op->error)
		object_fail(&l->obj, "registering a path", op->error);
	operation_unref(op);
	object_unref(&l->obj);
}

static struct change *background_new(struct lun *l)
{
	struct operation *op = operation_new(l->obj.loop, on_registered, l);

	object_ref(&l->obj);
	return change_new(l, &plan_register, op);
}

void reservation_register_rest(struct lun *l, uint64_t key)
{
	struct change *c = background_new(l);

	c->key = key;
	c->is_rest = true;
	change_start(c);
}

void reservation_register_again(struct lun *l)
{
	struct change *c = background_new(l);

	c->is_again = true;
	change_start(c);
}
