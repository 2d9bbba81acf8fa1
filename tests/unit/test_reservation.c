/* SPDX-License-Identifier: BSD-2-Clause */
/* What is made of what a target tells of its reservations: which registrations are ours, what
 * is learned and forgotten, what people are told. The sessions here have no connection: nothing
 * is sent; tests/interop has real targets. */
#include "core/reservation.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "core/event.h"
#include "core/target.h"
#include "unit.h"

static struct loop *loop;
static struct daemon *d;
static struct target *t;

#define OUR_NAME "iqn.2026-11.test:host"
#define OTHER_NAME "iqn.2026-11.test:other"

static struct nexus *add_nexus(uint8_t isid)
{
	struct session_config config = { .type = KEYS_NORMAL,
					 .target_name = t->name,
					 .initiator_name = (char *)OUR_NAME,
					 .isid = { 0x80, 0, 0, 0, 0, isid } };

	session_timeouts_default(&config.timeouts);
	return nexus_new(t, session_new(loop, &config, 0, NULL, NULL), "127.0.0.1:3260");
}

static struct lun_facts facts;

/* A unit with a path by each of two sessions, of ISID ...01 and ...02. */
static struct lun *begin(void)
{
	struct nexus *first, *second;
	struct conf conf;

	log_set_level(LOG_LEVEL_ERROR);
	conf_default(&conf);
	loop = loop_new();
	d = daemon_new(loop, &conf, NULL, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(d);
	conf_done(&conf);
	t = target_get(d, "iqn.2026-11.test:disks");
	facts = (struct lun_facts){ .number = 3, .has_capacity = true };
	lun_encode(3, facts.wire);
	strcpy(facts.wwid, "naa.6001");
	facts.capacity = (struct capacity){ .blocks = 2048, .block_bytes = 512 };
	first = add_nexus(1);
	second = add_nexus(2);
	lun_found(first, &facts);
	lun_found(second, &facts);
	return target_find_lun(t, 3);
}

static void end(void)
{
	daemon_free(d);
	loop_run_once(loop, 0);
	loop_free(loop);
}

static struct path *path(struct lun *l, unsigned i)
{
	struct nexus *n = g_list_nth_data(t->nexuses, i);

	return disk_path_find(l->disk, n->session);
}

static void set_key(struct path *p, uint64_t key)
{
	p->has_key = p->is_key_shared = true;
	p->key = key;
}

static struct reservation_view view(bool has_names)
{
	return (struct reservation_view){
		.generation = 7,
		.has_names = has_names,
		.registrants = g_array_new(FALSE, FALSE, sizeof(struct reserve_registrant)),
	};
}

static void done(struct reservation_view *v)
{
	g_array_unref(v->registrants);
}

static void add(struct reservation_view *v, uint64_t key, const char *name, uint8_t isid,
		uint8_t held_type)
{
	struct reserve_registrant r = { .key = key,
					.is_holder = held_type != 0,
					.type = held_type,
					.has_isid = *name != '\0',
					.isid = { 0x80, 0, 0, 0, 0, isid } };

	strcpy(r.name, name);
	g_array_append_val(v->registrants, r);
	if (!held_type)
		return;
	v->is_held = true;
	v->type = held_type;
	v->holder = key;
}

static void check_described(struct lun *l, const struct reservation_view *v, const char *who,
			    const char *advice)
{
	g_autoptr(GString) text = g_string_new(NULL);

	reservation_describe(l->disk, v, text);
	CU_ASSERT_STRING_EQUAL(text->str, who);
	g_string_truncate(text, 0);
	reservation_advise(l->disk, v, text);
	CU_ASSERT_PTR_NOT_NULL(strstr(text->str, advice));
}

/* ---- whose? ---- */

static void test_reservation_is_known_by_name_and_isid(void)
{
	struct lun *l = begin();
	struct reservation_view v = view(true);

	add(&v, 0xaa, OUR_NAME, 2, 0);
	add(&v, 0xaa, OTHER_NAME, 1, 0);
	add(&v, 0xaa, OUR_NAME, 9, 0); /* of another run of ours: nobody can use it */
	CU_ASSERT_PTR_EQUAL(reservation_path(l->disk, &v, 0), path(l, 1));
	CU_ASSERT_PTR_NULL(reservation_path(l->disk, &v, 1));
	CU_ASSERT_PTR_NULL(reservation_path(l->disk, &v, 2));
	g_array_index(v.registrants, struct reserve_registrant, 2).has_isid = false;
	CU_ASSERT_PTR_EQUAL(reservation_path(l->disk, &v, 2), path(l, 0));
	done(&v);
	end();
}

static void test_reservation_without_names_is_known_by_key(void)
{
	struct lun *l = begin();
	struct reservation_view v = view(false);

	add(&v, 0xaa, "", 0, 0);
	CU_ASSERT_PTR_NULL(reservation_path(l->disk, &v, 0));
	set_key(path(l, 1), 0xaa);
	CU_ASSERT_PTR_EQUAL(reservation_path(l->disk, &v, 0), path(l, 1));
	done(&v);
	end();
}

static void check_rights(uint8_t type, bool is_ours, bool is_held_here, bool is_open_here)
{
	struct lun *l = begin();
	struct reservation_view v = view(true);

	add(&v, 0xaa, OUR_NAME, 1, is_ours ? type : 0);
	add(&v, 0xbb, OTHER_NAME, 1, is_ours ? 0 : type);
	CU_ASSERT_EQUAL(reservation_is_held_here(l->disk, &v), is_held_here);
	CU_ASSERT_EQUAL(reservation_is_open_here(l->disk, &v), is_open_here);
	done(&v);
	end();
}

static void test_reservation_of_registrants_is_open_to_them(void)
{
	struct lun *l;
	struct reservation_view v;

	check_rights(RESERVE_WRITE_EXCLUSIVE, true, true, true);
	check_rights(RESERVE_WRITE_EXCLUSIVE, false, false, false);
	check_rights(RESERVE_EXCLUSIVE_ACCESS, false, false, false);
	check_rights(RESERVE_WRITE_EXCLUSIVE_REGISTRANTS, false, false, true);
	check_rights(RESERVE_EXCLUSIVE_ACCESS_ALL, false, false, true);
	check_rights(0, true, false, false); /* registered, and nobody holds it */
	l = begin();
	v = view(true);
	add(&v, 0xbb, OTHER_NAME, 1, RESERVE_WRITE_EXCLUSIVE_REGISTRANTS);
	CU_ASSERT_FALSE(reservation_is_open_here(l->disk, &v)); /* not registered */
	done(&v);
	end();
}

static void test_reservation_is_described_with_what_to_do(void)
{
	struct lun *l = begin();
	struct reservation_view v = view(true);

	check_described(l, &v, "nobody holds it", "`register KEY` and `reserve TYPE`");
	add(&v, 0xbb, OTHER_NAME, 1, RESERVE_EXCLUSIVE_ACCESS);
	check_described(l, &v, "held by " OTHER_NAME " (key 0xbb, exclusive-access)",
			"`preempt 0xbb`");
	v.type = RESERVE_WRITE_EXCLUSIVE_ALL;
	check_described(l, &v,
			"held by all that are registered, such as " OTHER_NAME
			" (key 0xbb, write-exclusive-all-registrants)",
			"`register KEY` shares it");
	done(&v);
	v = view(false);
	add(&v, 0xbb, "", 0, RESERVE_WRITE_EXCLUSIVE);
	check_described(l, &v, "held by another initiator (key 0xbb, write-exclusive)",
			"`preempt 0xbb`");
	done(&v);
	v = view(true);
	add(&v, 1, OUR_NAME, 1, RESERVE_WRITE_EXCLUSIVE);
	check_described(l, &v, "held by this side (key 0x1, write-exclusive)",
			"only the path that reserved it");
	done(&v);
	v = view(true); /* a name that would forge words is quoted */
	add(&v, 2, "iqn.x this\n", 1, RESERVE_WRITE_EXCLUSIVE);
	check_described(l, &v, "held by \"iqn.x this\\x0a\" (key 0x2, write-exclusive)",
			"preempt");
	done(&v);
	end();
}

/* ---- learning ---- */

static unsigned count_events(const char *word)
{
	g_autoptr(GString) out = g_string_new(NULL);
	unsigned count = 0;

	event_print(d->events, out);
	for (const char *p = out->str; (p = strstr(p, word)); p++)
		count++;
	return count;
}

static void test_reservation_keys_are_learned_and_forgotten(void)
{
	struct lun *l = begin();
	struct reservation_view v = view(true);

	set_key(path(l, 0), 0xaa);
	add(&v, 0xcc, OUR_NAME, 2, 0);
	add(&v, 0xaa, OTHER_NAME, 1, RESERVE_WRITE_EXCLUSIVE);
	reservation_learn(l->disk, &v, reservation_changes(l->disk));
	CU_ASSERT_FALSE(path(l, 0)->has_key); /* that key is somebody else's */
	CU_ASSERT_FALSE(path(l, 0)->is_key_shared);
	CU_ASSERT_EQUAL(count_events("key 0xaa is not registered any more"), 1);
	CU_ASSERT_TRUE(path(l, 1)->has_key);
	CU_ASSERT_EQUAL(path(l, 1)->key, 0xcc);
	CU_ASSERT_FALSE(path(l, 1)->is_key_shared); /* nobody asked for it for all paths */
	CU_ASSERT_PTR_NOT_NULL(strstr(reservation_blame(l->disk), OTHER_NAME));
	done(&v);
	end();
}

static void test_reservation_told_before_a_change_of_ours_is_old(void)
{
	struct lun *l = begin();
	struct reservation_view v = view(true);
	unsigned changes = reservation_changes(l->disk);

	reservation_changed(l->disk);
	set_key(path(l, 0), 0xaa);
	reservation_learn(l->disk, &v, changes);
	CU_ASSERT_TRUE(path(l, 0)->has_key);
	CU_ASSERT_STRING_EQUAL(reservation_blame(l->disk), "");
	reservation_learn(l->disk, &v, reservation_changes(l->disk));
	CU_ASSERT_FALSE(path(l, 0)->has_key);
	done(&v);
	end();
}

static void test_reservation_list_cut_short_takes_no_key_away(void)
{
	struct lun *l = begin();
	struct reservation_view v = view(false);

	v.is_cut = true;
	add(&v, 0xbb, "", 0, 0);
	set_key(path(l, 0), 0xaa);
	reservation_learn(l->disk, &v, reservation_changes(l->disk));
	CU_ASSERT_TRUE(path(l, 0)->has_key);
	done(&v);
	end();
}

static void test_reservation_static_key_counts_as_registered(void)
{
	struct lun *l = begin();
	struct nexus *n = t->nexuses->data;

	n->has_pr_key = true;
	n->pr_key = 0x51;
	lun_found(n, &facts); /* looked at again, and not registered */
	CU_ASSERT_FALSE(path(l, 0)->has_key);
	facts.is_registered = true;
	lun_found(n, &facts);
	CU_ASSERT_TRUE(path(l, 0)->has_key);
	CU_ASSERT_EQUAL(path(l, 0)->key, 0x51);
	CU_ASSERT_FALSE(path(l, 0)->is_key_shared);
	CU_ASSERT_FALSE(path(l, 1)->has_key);
	end();
}

/* ---- the guard, and commands, without a target to ask ---- */

static void test_reservation_guard_is_that_of_any_session(void)
{
	struct lun *l = begin();
	struct nexus *second = t->nexuses->next->data;

	CU_ASSERT_FALSE(reservation_is_guarded(l));
	second->is_guarded = true;
	CU_ASSERT_TRUE(reservation_is_guarded(l));
	end();
}

struct outcome {
	bool is_done;
	int errno_value;
	char text[300];
};

static void on_done(struct operation *op, void *arg)
{
	struct outcome *o = arg;

	o->is_done = true;
	o->errno_value = op->error ? error_errno(op->error) : 0;
	g_strlcpy(o->text, op->error ? op->error->message : op->result->str, sizeof(o->text));
	operation_unref(op);
}

static void test_reservation_question_waits_for_a_path_until_cancelled(void)
{
	struct lun *l = begin();
	struct outcome o = { 0 };
	struct operation *op = operation_new(loop, on_done, &o);

	reservation_check(&l->obj, op);
	for (unsigned i = 0; i < 3; i++)
		loop_run_once(loop, 0);
	CU_ASSERT_FALSE(o.is_done);
	CU_ASSERT_EQUAL(d->pending, 1); /* the end of the daemon waits for it */
	operation_cancel(op, EINTR);
	loop_run_once(loop, 0);
	CU_ASSERT_TRUE(o.is_done);
	CU_ASSERT_EQUAL(o.errno_value, EINTR);
	CU_ASSERT_EQUAL(d->pending, 0);
	end();
}

static void run_line(struct lun *l, const char *line, struct outcome *o)
{
	struct command *cmd = command_parse(line, reservation_verbs, NULL);
	struct operation *op = operation_new(loop, on_done, o);

	*o = (struct outcome){ 0 };
	CU_ASSERT_PTR_NOT_NULL_FATAL(cmd);
	cmd->verb->run(&l->obj, cmd, op);
	command_free(cmd);
	for (unsigned i = 0; i < 3; i++)
		loop_run_once(loop, 0);
}

static void test_reservation_verbs_check_what_they_are_told(void)
{
	static const struct {
		const char *line;
		int errno_value;
		const char *text;
	} rows[] = {
		{ "register seven", EINVAL, "is no key" },
		{ "register -1", EINVAL, "is no key" },
		{ "register 0x10000000000000000", EINVAL, "is no key" },
		{ "reserve exclusive", EINVAL, "is no type" },
		{ "preempt 1 type=none", EINVAL, "is no type" },
		{ "register 1", EIO, "no session" },
		{ "reserve-legacy", EIO, "no session" },
		{ "clear", EINVAL, "not registered" },
	};
	struct lun *l = begin();
	struct outcome o;

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		run_line(l, rows[i].line, &o);
		CU_ASSERT_TRUE(o.is_done);
		CU_ASSERT_EQUAL(o.errno_value, rows[i].errno_value);
		CU_ASSERT_PTR_NOT_NULL(strstr(o.text, rows[i].text));
	}
	CU_ASSERT_EQUAL(d->pending, 0);
	end();
}

UNIT_MAIN("reservation", UNIT(test_reservation_is_known_by_name_and_isid),
	  UNIT(test_reservation_without_names_is_known_by_key),
	  UNIT(test_reservation_of_registrants_is_open_to_them),
	  UNIT(test_reservation_is_described_with_what_to_do),
	  UNIT(test_reservation_keys_are_learned_and_forgotten),
	  UNIT(test_reservation_told_before_a_change_of_ours_is_old),
	  UNIT(test_reservation_list_cut_short_takes_no_key_away),
	  UNIT(test_reservation_static_key_counts_as_registered),
	  UNIT(test_reservation_guard_is_that_of_any_session),
	  UNIT(test_reservation_question_waits_for_a_path_until_cancelled),
	  UNIT(test_reservation_verbs_check_what_they_are_told))
