/* SPDX-License-Identifier: BSD-2-Clause */
/* Units and what a scan brings: when is it the same unit, when does it go, who has it open. The
 * sessions here have no connection: nothing is sent. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "core/lun_merge.h"
#include "core/target.h"
#include "unit.h"

static struct loop *loop;
static struct daemon *d;
static struct target *t;

static struct nexus *add_nexus(void)
{
	struct session_config config = { .type = KEYS_NORMAL,
					 .target_name = t->name,
					 .initiator_name = (char *)"iqn.2026-11.test:host" };

	session_timeouts_default(&config.timeouts);
	return nexus_new(t, session_new(loop, &config, 0, NULL, NULL), "127.0.0.1:3260");
}

static struct nexus *begin(void)
{
	struct conf conf;

	log_set_level(LOG_LEVEL_ERROR);
	conf_default(&conf);
	loop = loop_new();
	d = daemon_new(loop, &conf, NULL, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(d);
	conf_done(&conf);
	t = target_get(d, "iqn.2026-11.test:disks");
	target_set_instance(t, INSTANCE_STATIC_NAME, INSTANCE_STATIC, NULL, 0, NULL);
	return add_nexus();
}

static void end(void)
{
	daemon_free(d);
	loop_run_once(loop, 0);
	loop_free(loop);
}

static struct lun_facts disk_facts(uint32_t number, const char *wwid)
{
	struct lun_facts f = { .number = number, .has_capacity = true, .has_mode = true };

	lun_encode(number, f.wire);
	strcpy(f.inquiry.vendor, "ACME");
	strcpy(f.inquiry.product, "DISK");
	g_strlcpy(f.wwid, wwid, sizeof(f.wwid));
	f.capacity = (struct capacity){ .blocks = 2048, .block_bytes = 512 };
	f.mode = (struct mode_caching){ .has_page = true, .write_cache = true };
	return f;
}

static struct lun *find(const struct nexus *n, const struct lun_facts *f)
{
	lun_found((struct nexus *)(uintptr_t)n, f);
	return target_find_lun(t, f->number);
}

/* ---- appearing and going ---- */

static void test_lun_appears_with_what_was_found(void)
{
	struct nexus *n = begin();
	struct lun_facts f = disk_facts(3, "naa.6001");
	struct lun *l = find(n, &f);

	CU_ASSERT_PTR_NOT_NULL_FATAL(l);
	CU_ASSERT_TRUE(l->has_disk);
	CU_ASSERT_EQUAL(disk_bytes(l->disk), 1024 * 1024);
	CU_ASSERT_STRING_EQUAL(l->wwid, "naa.6001");
	CU_ASSERT_TRUE(l->disk->has_write_cache);
	CU_ASSERT_PTR_EQUAL(g_hash_table_lookup(d->luns_by_wwid, "naa.6001"), l);
	CU_ASSERT_STRING_EQUAL(lun_state_name(l),
			       "no-path"); /* the session has no connection */
	end();
}

static void test_lun_list_is_by_number(void)
{
	static const uint32_t numbers[] = { 300, 0, 7, 16383, 2 };
	struct nexus *n = begin();
	uint32_t last = 0;

	for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++) {
		struct lun_facts f = disk_facts(numbers[i], "");

		CU_ASSERT_PTR_NOT_NULL(find(n, &f));
	}
	CU_ASSERT_EQUAL(g_list_length(t->luns), G_N_ELEMENTS(numbers));
	for (GList *k = t->luns; k; k = k->next) {
		const struct lun *l = k->data;

		CU_ASSERT_TRUE(l->number >= last);
		last = l->number;
	}
	end();
}

static void test_lun_without_a_caching_page_is_flushed(void)
{
	struct nexus *n = begin();
	struct lun_facts f = disk_facts(0, "naa.1");

	f.mode = (struct mode_caching){ 0 };
	f.has_mode = false;
	CU_ASSERT_TRUE(find(n, &f)->disk->has_write_cache);
	end();
}

static void test_lun_that_is_no_disk_has_none(void)
{
	struct nexus *n = begin();
	struct lun_facts f = disk_facts(0, "naa.1");

	f.inquiry.type = 0x0c;
	f.has_capacity = false;
	CU_ASSERT_FALSE(find(n, &f)->has_disk);
	end();
}

static void test_lun_of_no_blocks_has_no_disk(void)
{
	struct nexus *n = begin();
	struct lun_facts f = disk_facts(0, "naa.1");
	struct lun *l;

	f.capacity.blocks = 0;
	l = find(n, &f);
	CU_ASSERT_FALSE(l->has_disk);
	CU_ASSERT_NOT_EQUAL(l->not_ready, 0);
	end();
}

static void test_lun_goes_when_it_is_not_found_any_more(void)
{
	struct nexus *n = begin();
	struct lun_facts f = disk_facts(1, "naa.1");
	struct lun *l = find(n, &f);

	object_ref(&l->obj); /* as an open file does */
	lun_missing(n, l);
	CU_ASSERT_TRUE(l->obj.is_gone);
	CU_ASSERT_STRING_EQUAL(lun_state_name(l), "gone");
	CU_ASSERT_TRUE(l->disk->is_gone);
	CU_ASSERT_PTR_NULL(t->luns);
	CU_ASSERT_PTR_NULL(g_hash_table_lookup(d->luns_by_wwid, "naa.1"));
	object_unref(&l->obj);
	end();
}

static void test_lun_goes_with_its_last_session(void)
{
	struct nexus *n = begin(), *other = add_nexus();
	struct lun_facts f = disk_facts(1, "naa.1");
	struct lun *l = find(n, &f);

	CU_ASSERT_PTR_EQUAL(find(other, &f), l);
	CU_ASSERT_TRUE(lun_has_session(l, other->session));
	object_ref(&l->obj);
	nexus_remove(n);
	CU_ASSERT_FALSE(l->obj.is_gone);
	nexus_remove(other);
	CU_ASSERT_TRUE(l->obj.is_gone);
	CU_ASSERT_PTR_EQUAL(target_find(d, t->name), t); /* the static instance keeps it */
	object_unref(&l->obj);
	end();
}

static void test_lun_wwid_passes_to_another_unit_that_has_it(void)
{
	struct nexus *n = begin();
	struct lun_facts f = disk_facts(1, "naa.1"), g = disk_facts(2, "naa.1");
	struct lun *first = find(n, &f), *second = find(n, &g);

	CU_ASSERT_PTR_EQUAL(g_hash_table_lookup(d->luns_by_wwid, "naa.1"), first);
	lun_missing(n, first);
	CU_ASSERT_PTR_EQUAL(g_hash_table_lookup(d->luns_by_wwid, "naa.1"), second);
	end();
}

/* ---- the same, or another? ---- */

static void check_same(const struct lun_facts *a, const struct lun_facts *b, bool is_same)
{
	struct nexus *n = begin();

	CU_ASSERT_EQUAL(lun_is_same(find(n, a), b), is_same);
	end();
}

static void test_lun_identity_is_wwid_then_serial_then_make(void)
{
	struct lun_facts a = disk_facts(1, "naa.1"), b = disk_facts(1, "naa.1");

	strcpy(a.serial, "S1");
	strcpy(b.serial, "S2");
	check_same(&a, &b, true); /* the wwid counts */
	strcpy(b.wwid, "naa.2");
	check_same(&a, &b, false);
	b.wwid[0] = '\0';
	check_same(&a, &b, false); /* it had one */
	a.wwid[0] = '\0';
	check_same(&a, &b, false);
	strcpy(b.serial, "S1");
	check_same(&a, &b, true);
	a.serial[0] = b.serial[0] = '\0';
	check_same(&a, &b, true);
	strcpy(b.inquiry.product, "OTHER");
	check_same(&a, &b, false);
	b = a;
	b.inquiry.type = 5;
	check_same(&a, &b, false);
}

static void test_lun_grows_and_stays_the_same(void)
{
	struct nexus *n = begin();
	struct lun_facts f = disk_facts(1, "naa.1");
	struct lun *l = find(n, &f);

	f.capacity.blocks *= 2;
	CU_ASSERT_PTR_EQUAL(find(n, &f), l);
	CU_ASSERT_EQUAL(disk_bytes(l->disk), 2 * 1024 * 1024);
	end();
}

static void test_lun_with_another_block_size_is_another_unit(void)
{
	struct nexus *n = begin();
	struct lun_facts f = disk_facts(1, "naa.1");
	struct lun *l = find(n, &f);

	object_ref(&l->obj);
	f.capacity.block_bytes = 4096;
	CU_ASSERT_PTR_NOT_EQUAL(find(n, &f), l);
	CU_ASSERT_TRUE(l->obj.is_gone);
	object_unref(&l->obj);
	end();
}

static void test_lun_not_ready_for_a_while_keeps_its_disk(void)
{
	struct nexus *n = begin();
	struct lun_facts f = disk_facts(1, "naa.1");
	struct lun *l;

	f.mode.is_write_protected = true;
	l = find(n, &f);
	f.has_capacity = f.has_mode = false;
	f.not_ready = EBUSY;
	memset(&f.capacity, 0, sizeof(f.capacity));
	memset(&f.mode, 0, sizeof(f.mode));
	CU_ASSERT_PTR_EQUAL(find(n, &f), l);
	CU_ASSERT_TRUE(l->has_disk);
	CU_ASSERT_EQUAL(disk_bytes(l->disk), 1024 * 1024);
	CU_ASSERT_TRUE(l->disk->is_read_only);
	CU_ASSERT_EQUAL(l->not_ready, EBUSY);
	end();
}

/* A session that replaces a failed one: is @b by the new one still the @a that is open? */
static void check_reattached(const struct lun_facts *a, const struct lun_facts *b, bool is_same)
{
	struct nexus *old = begin(), *new = add_nexus();
	struct lun *l = find(old, a);

	object_ref(&l->obj);
	lun_set_usable(old, false);
	lun_found(new, b);
	nexus_remove(old);
	CU_ASSERT_EQUAL(l->obj.is_gone, !is_same);
	CU_ASSERT_EQUAL(target_find_lun(t, a->number) == l, is_same);
	CU_ASSERT_TRUE(lun_has_session(target_find_lun(t, a->number), new->session));
	object_unref(&l->obj);
	end();
}

static void test_lun_is_reattached_if_name_and_size_are_the_same(void)
{
	struct lun_facts a = disk_facts(1, "naa.1"), b = a;

	check_reattached(&a, &b, true);
	b.capacity.blocks++;
	check_reattached(&a, &b, false);
	b = a;
	strcpy(b.wwid, "naa.2");
	check_reattached(&a, &b, false);
	a.wwid[0] = b.wwid[0] = '\0';
	check_reattached(&a, &b, false); /* it tells no name of its own */
	strcpy(a.serial, "S1");
	strcpy(b.serial, "S1");
	check_reattached(&a, &b, true);
}

/* ---- a session that was lost ---- */

static struct path *path_of(const struct lun *l, const struct nexus *n)
{
	return disk_path_find(l->disk, n->session);
}

static void test_lun_path_of_a_resumed_session_goes_on_at_once(void)
{
	struct nexus *n = begin();
	struct lun_facts f = disk_facts(1, "naa.1");
	struct lun *l = find(n, &f);

	CU_ASSERT_EQUAL(path_of(l, n)->state, PATH_OPTIMIZED);
	lun_set_usable(n, false);
	CU_ASSERT_EQUAL(path_of(l, n)->state, PATH_LOST);
	lun_set_usable(n, true);
	CU_ASSERT_EQUAL(path_of(l, n)->state, PATH_OPTIMIZED);
	end();
}

/* The session was restarted: is @b the @a that was there? */
static void check_restarted(const struct lun_facts *a, const struct lun_facts *b, bool is_same)
{
	struct nexus *n = begin();
	struct lun *l = find(n, a), *old = l;

	object_ref(&old->obj);
	lun_set_usable(n, false);
	lun_unverify(n);
	CU_ASSERT_EQUAL(path_of(l, n)->state, PATH_UNVERIFIED);
	lun_found(n, b);
	CU_ASSERT_EQUAL(l->obj.is_gone, !is_same);
	CU_ASSERT_EQUAL(l->disk->is_gone, !is_same);
	if (is_same) {
		CU_ASSERT_EQUAL(path_of(l, n)->state, PATH_OPTIMIZED);
	} else {
		CU_ASSERT_EQUAL(l->disk->gone_errno, ESTALE);
		CU_ASSERT_EQUAL(l->obj.failures[0]->errno_value, ESTALE);
		l = target_find_lun(t, a->number);
		CU_ASSERT_PTR_NOT_NULL_FATAL(l);
		CU_ASSERT_EQUAL(path_of(l, n)->state, PATH_OPTIMIZED);
		CU_ASSERT_EQUAL(l->obj.failures[0]->errno_value, ESTALE); /* says why */
	}
	object_unref(&old->obj);
	end();
}

static void test_lun_after_a_restart_must_be_identical(void)
{
	struct lun_facts a = disk_facts(1, "naa.1"), b;

	strcpy(a.serial, "S1");
	b = a;
	check_restarted(&a, &b, true);
	b.capacity.blocks *= 2;
	check_restarted(&a, &b, false); /* no news, but another unit */
	b = a;
	b.capacity.block_bytes = 4096;
	check_restarted(&a, &b, false);
	b = a;
	strcpy(b.wwid, "naa.2");
	check_restarted(&a, &b, false);
	b = a;
	strcpy(b.serial, "S2");
	check_restarted(&a, &b, false);
	b = a;
	strcpy(b.inquiry.vendor, "OTHER");
	check_restarted(&a, &b, false);
	b = a;
	strcpy(b.inquiry.product, "OTHER");
	check_restarted(&a, &b, false);
	b = a;
	strcpy(b.inquiry.revision, "2"); /* new firmware */
	check_restarted(&a, &b, true);
	a.wwid[0] = a.serial[0] = '\0';
	check_restarted(&a, &a, true); /* it never told a name */
}

static void test_lun_not_ready_after_a_restart_stays_unverified(void)
{
	struct nexus *n = begin();
	struct lun_facts f = disk_facts(1, "naa.1"), g = f;
	struct lun *l = find(n, &f);

	lun_set_usable(n, false);
	lun_unverify(n);
	g.has_capacity = false;
	g.not_ready = EBUSY;
	CU_ASSERT_PTR_EQUAL(find(n, &g), l);
	CU_ASSERT_EQUAL(path_of(l, n)->state, PATH_UNVERIFIED);
	CU_ASSERT_TRUE(loop_timer_is_running(&l->disk->watch_timer)); /* asked again */
	CU_ASSERT_PTR_EQUAL(find(n, &f), l);
	CU_ASSERT_EQUAL(path_of(l, n)->state, PATH_OPTIMIZED);
	end();
}

static void test_lun_missing_after_a_restart_is_gone(void)
{
	struct nexus *n = begin();
	struct lun_facts f = disk_facts(1, "naa.1");
	struct lun *l = find(n, &f);

	object_ref(&l->obj);
	lun_set_usable(n, false);
	lun_unverify(n);
	lun_missing(n, l);
	CU_ASSERT_TRUE(l->disk->is_gone);
	CU_ASSERT_EQUAL(l->disk->gone_errno, ENODEV);
	object_unref(&l->obj);
	end();
}

/* ---- one device by two targets ---- */

static struct target *other_target(struct nexus **ret_nexus)
{
	struct target *first = t, *other = target_get(d, "iqn.2026-11.test:twin");

	t = other;
	*ret_nexus = add_nexus();
	t = first;
	return other;
}

/* Its unit, found to be the same as @l. */
static struct lun *find_twin(struct nexus *n, struct lun *l, const struct lun_facts *f)
{
	struct lun_facts g = *f;

	g.twin = l;
	lun_found(n, &g);
	return target_find_lun(n->target, f->number);
}

static void test_lun_twin_shares_the_disk(void)
{
	struct nexus *n = begin(), *m;
	struct target *other = other_target(&m);
	struct lun_facts f = disk_facts(1, "naa.1");
	struct lun *a = find(n, &f), *b = find_twin(m, a, &f);

	CU_ASSERT_PTR_NOT_EQUAL_FATAL(a, b);
	CU_ASSERT_PTR_EQUAL(a->disk, b->disk);
	CU_ASSERT_PTR_EQUAL(b->target, other);
	CU_ASSERT_EQUAL(a->disk->usable_paths, 2);
	CU_ASSERT_PTR_EQUAL(path_of(a, n)->lun, a);
	CU_ASSERT_PTR_EQUAL(path_of(a, m)->lun, b);
	CU_ASSERT_FALSE(lun_has_session(a, m->session)); /* not by its own target */
	loop_run_once(loop, 0);				 /* the disk that b had is freed */
	object_ref(&a->obj);
	lun_missing(n, a);
	CU_ASSERT_TRUE(a->obj.is_gone);
	CU_ASSERT_FALSE(a->disk->is_gone); /* who has it open goes on */
	CU_ASSERT_PTR_NOT_NULL(strstr(a->disk->name, "twin"));
	lun_missing(m, b);
	CU_ASSERT_TRUE(a->disk->is_gone);
	object_unref(&a->obj);
	end();
}

/* What the one did not have on the medium yet, or lost, is not forgotten by the two. */
static void test_lun_twins_keep_what_is_not_flushed(void)
{
	struct nexus *n = begin(), *m;
	struct lun_facts f = disk_facts(1, "naa.1");
	struct lun *a = find(n, &f), *b;
	uint64_t before, told;

	other_target(&m);
	lun_found(m, &f);
	b = target_find_lun(m->target, f.number);
	CU_ASSERT_PTR_NOT_EQUAL_FATAL(a->disk, b->disk);
	a->disk->flushed = a->disk->written;
	b->disk->flushed = b->disk->written;
	disk_written(b->disk); /* acknowledged */
	disk_lost_write(a->disk);
	a->disk->losses_told = before = a->disk->losses;
	disk_lost_write(b->disk);
	told = b->disk->losses;
	CU_ASSERT_FALSE(disk_is_dirty(a->disk));
	find_twin(m, a, &f);
	CU_ASSERT_PTR_EQUAL(a->disk, b->disk);
	CU_ASSERT_TRUE(disk_is_dirty(a->disk));
	CU_ASSERT_NOT_EQUAL(a->disk->losses, a->disk->losses_told);
	/* Who was told of the last one knows all; who knew of another one does not. */
	CU_ASSERT_EQUAL(a->disk->losses, told);
	CU_ASSERT_NOT_EQUAL(a->disk->losses, before);
	loop_run_once(loop, 0);
	end();
}

static void test_lun_twin_that_is_another_unit_after_a_restart_parts(void)
{
	struct nexus *n = begin(), *m;
	struct lun_facts f = disk_facts(1, "naa.1"), g;
	struct lun *a = find(n, &f), *b;

	other_target(&m);
	b = find_twin(m, a, &f);
	object_ref(&b->obj);
	lun_set_usable(m, false);
	CU_ASSERT_EQUAL(a->disk->usable_paths, 1);
	lun_unverify(m);
	g = f;
	strcpy(g.wwid, "naa.2");
	lun_found(m, &g);
	CU_ASSERT_TRUE(b->obj.is_gone);
	CU_ASSERT_FALSE(a->disk->is_gone);
	CU_ASSERT_PTR_NOT_EQUAL(target_find_lun(m->target, 1)->disk, a->disk);
	CU_ASSERT_PTR_NULL(disk_path_find(a->disk, m->session));
	object_unref(&b->obj);
	end();
}

static void nobody(struct disk_io *io, int result)
{
	(void)io;
	(void)result;
}

static void test_lun_twin_in_use_is_merged_another_time(void)
{
	struct nexus *n = begin(), *m;
	struct lun_facts f = disk_facts(1, "naa.1");
	struct lun *a = find(n, &f), *b;
	uint8_t data[512];
	struct disk_io io = { .op = DISK_READ, .bytes = 512, .data = data, .done = nobody };

	b = target_find_lun(other_target(&m), f.number);
	CU_ASSERT_PTR_NULL(b);
	lun_found(m, &f);
	b = target_find_lun(m->target, f.number);
	CU_ASSERT_EQUAL(disk_submit(b->disk, &io), 0); /* waits: no connection */
	CU_ASSERT_PTR_EQUAL(find_twin(m, a, &f), b);
	CU_ASSERT_PTR_NOT_EQUAL(a->disk, b->disk);
	CU_ASSERT_TRUE(disk_withdraw(&io));
	find_twin(m, a, &f);
	CU_ASSERT_PTR_EQUAL(a->disk, b->disk);
	loop_run_once(loop, 0);
	end();
}

static void test_lun_merge_compares_what_is_told(void)
{
	static const char name[] = "naa.60014054f5a9a7e3b2c4d5e6f7a8b9c0";
	struct alua_port one = { .has_port = true, .port = 1 }, none = { 0 };
	struct nexus *n = begin();
	struct lun_facts f = disk_facts(1, name), g = f;
	const struct lun *l = find(n, &f);

	g.port = (struct alua_port){ .has_port = true, .port = 2 };
	CU_ASSERT_PTR_NULL(merge_why_never(l, &g, &one));
	CU_ASSERT_PTR_NULL(merge_why_never(l, &f, &one)); /* it tells none */
	CU_ASSERT_PTR_NULL(merge_why_never(l, &g, &none));
	g.port.port = 1;
	CU_ASSERT_PTR_NOT_NULL(merge_why_never(l, &g, &one));
	g = f;
	strcpy(g.serial, "S");
	CU_ASSERT_PTR_NOT_NULL(merge_why_never(l, &g, &none));
	g = f;
	g.capacity.blocks++;
	CU_ASSERT_PTR_NOT_NULL(merge_why_never(l, &g, &none));
	g = f;
	strcpy(g.inquiry.product, "X");
	CU_ASSERT_PTR_NOT_NULL(merge_why_never(l, &g, &none));
	g = f;
	g.mode.is_write_protected = true;
	CU_ASSERT_PTR_NOT_NULL(merge_why_never(l, &g, &none));
	g = f;
	strcpy(g.wwid, "naa.60000000000000000e00000000010001");
	CU_ASSERT_PTR_NOT_NULL(merge_why_never(l, &g, &none));
	strcpy(g.wwid, "t10.ACME_1");
	CU_ASSERT_PTR_NOT_NULL(merge_why_never(l, &g, &none));
	end();
}

static void test_lun_merge_compares_what_was_read(void)
{
	static const uint8_t both[20] = { 0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 2,
					  0, 0, 0, 1,  0, 0, 0, 2 };
	static const uint8_t only_1[16] = { 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1 };
	uint8_t text[] = "some text", other[] = "some tent", zeros[10] = { 0 };
	uint8_t *groups = g_memdup2(both, sizeof(both)), *part = g_memdup2(only_1, sizeof(only_1));
	struct merge_answer a = { text, 10 }, b = { other, 10 }, z = { zeros, 10 };
	struct merge_answer all = { groups, sizeof(both) }, some = { part, sizeof(only_1) };
	struct merge_evidence e = { .first = { a, a }, .last = { z, z } };

	CU_ASSERT_PTR_NULL(merge_why_not(&e));
	e.first[1] = b;
	CU_ASSERT_PTR_NOT_NULL(merge_why_not(&e));
	e.first[1] = a;
	e.last[0] = a;
	CU_ASSERT_PTR_NOT_NULL(merge_why_not(&e));
	e = (struct merge_evidence){ .first = { z, z }, .last = { z, z } };
	CU_ASSERT_PTR_NOT_NULL(merge_why_not(&e)); /* blank */
	e = (struct merge_evidence){ 0 };
	CU_ASSERT_PTR_NOT_NULL(merge_why_not(&e)); /* cannot be read */
	e.groups[0] = e.groups[1] = all;
	CU_ASSERT_PTR_NOT_NULL(merge_why_not(&e)); /* whose ports? */
	e.port[0] = (struct alua_port){ .has_port = true, .port = 1 };
	e.port[1] = (struct alua_port){ .has_port = true, .port = 2 };
	CU_ASSERT_PTR_NULL(merge_why_not(&e)); /* each knows both */
	e.first[0] = a;
	e.first[1] = b;
	e.last[0] = e.last[1] = z;
	CU_ASSERT_PTR_NOT_NULL(merge_why_not(&e)); /* and yet they differ */
	e.first[1] = a;
	CU_ASSERT_PTR_NULL(merge_why_not(&e));
	e.groups[1] = some;
	CU_ASSERT_PTR_NULL(merge_why_not(&e)); /* 2 is missing in that of 2: 1 is in it */
	e.groups[0] = some;
	CU_ASSERT_PTR_NOT_NULL(merge_why_not(&e)); /* the first does not know port 2 */
	g_free(groups);
	g_free(part);
}

/* ---- what people set ---- */

static void test_lun_policy_and_path_are_set(void)
{
	struct nexus *n = begin();
	struct lun_facts f = disk_facts(1, "naa.1");
	struct lun *l = find(n, &f);
	struct path *p = path_of(l, n);
	g_autofree char *sid = g_strdup_printf("%u", n->session->sid);
	GError *err = NULL;

	CU_ASSERT_TRUE(lun_set_policy(l, "round-robin", NULL));
	CU_ASSERT_EQUAL(l->disk->policy, POLICY_ROUND_ROBIN);
	CU_ASSERT_FALSE(lun_set_policy(l, "best", &err));
	CU_ASSERT_EQUAL(error_errno(err), EINVAL);
	g_clear_error(&err);
	CU_ASSERT_TRUE(lun_set_path(l, sid, "standby", 7, NULL));
	CU_ASSERT_TRUE(p->lane.is_standby);
	CU_ASSERT_EQUAL(p->lane.weight, 7);
	CU_ASSERT_TRUE(lun_set_path(l, sid, NULL, -1, NULL));
	CU_ASSERT_TRUE(p->lane.is_standby);
	CU_ASSERT_FALSE(lun_set_path(l, sid, "idle", -1, NULL));
	CU_ASSERT_FALSE(lun_set_path(l, "999", "active", -1, &err));
	CU_ASSERT_EQUAL(error_errno(err), ENOENT);
	g_clear_error(&err);
	end();
}

/* ---- open ---- */

static void test_lun_holder_names_the_process(void)
{
	struct nexus *n = begin();
	struct lun_facts f = disk_facts(3, "naa.1");
	struct lun *l = find(n, &f);
	g_autofree char *want = g_strdup_printf(
		"iqn.2026-11.test:disks: lun 3 is open by pid %d (", (int)getpid());
	g_autofree char *holder = NULL;

	CU_ASSERT_PTR_NULL(lun_holder(l));
	l->open_count = 1;
	g_hash_table_insert(l->open_pids, GINT_TO_POINTER(getpid()), GUINT_TO_POINTER(1));
	holder = lun_holder(l);
	CU_ASSERT_TRUE(g_str_has_prefix(holder, want));
	CU_ASSERT_FALSE(g_str_has_suffix(holder, "(?)"));
	l->open_count = 0;
	end();
}

static int log_out(struct nexus *n, bool is_forced)
{
	struct operation *op = operation_new(loop, NULL, NULL);
	int r;

	if (n)
		nexus_logout(n, is_forced, op);
	else
		target_logout(t, is_forced, op);
	for (int i = 0; i < 10 && op->state != OPERATION_FINISHED; i++)
		loop_run_once(loop, 0);
	CU_ASSERT_EQUAL(op->state, OPERATION_FINISHED);
	r = op->error ? error_errno(op->error) : 0;
	operation_unref(op);
	return r;
}

static void test_logout_is_refused_while_a_unit_is_open(void)
{
	struct nexus *n = begin();
	struct lun_facts f = disk_facts(3, "naa.1");
	struct lun *l = find(n, &f);

	object_ref(&l->obj);
	l->open_count = 1;
	CU_ASSERT_EQUAL(log_out(NULL, false), EBUSY);
	CU_ASSERT_EQUAL(log_out(n, false), EBUSY);
	CU_ASSERT_FALSE(l->obj.is_gone);
	CU_ASSERT_EQUAL(log_out(NULL, true), 0);
	CU_ASSERT_TRUE(l->obj.is_gone);
	CU_ASSERT_PTR_NULL(t->nexuses);
	CU_ASSERT_EQUAL(log_out(NULL, false), ENOENT);
	object_unref(&l->obj);
	end();
}

static void test_lun_block_size_hint_is_a_power_of_two_within_bounds(void)
{
	static const struct {
		uint32_t optimal, max, hint;
	} rows[] = {
		{ 0, 0, 65536 },
		{ 256, 0, 131072 },
		{ 100, 0, 32768 },
		{ 1, 0, 4096 },
		{ 1 << 30, 0, 1 << 20 },
		{ 4096, 64, 32768 },
		{ 0xffffffff, 0, 1 << 20 },
	};
	struct nexus *n = begin();
	struct lun_facts f = disk_facts(3, "naa.1");
	struct lun *l = find(n, &f);

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		l->limits.optimal_transfer_blocks = rows[i].optimal;
		l->limits.max_transfer_blocks = rows[i].max;
		CU_ASSERT_EQUAL(lun_block_size_hint(l), rows[i].hint);
	}
	end();
}

UNIT_MAIN("lun", UNIT(test_lun_appears_with_what_was_found), UNIT(test_lun_list_is_by_number),
	  UNIT(test_lun_without_a_caching_page_is_flushed),
	  UNIT(test_lun_that_is_no_disk_has_none), UNIT(test_lun_of_no_blocks_has_no_disk),
	  UNIT(test_lun_goes_when_it_is_not_found_any_more),
	  UNIT(test_lun_goes_with_its_last_session),
	  UNIT(test_lun_wwid_passes_to_another_unit_that_has_it),
	  UNIT(test_lun_identity_is_wwid_then_serial_then_make),
	  UNIT(test_lun_grows_and_stays_the_same),
	  UNIT(test_lun_with_another_block_size_is_another_unit),
	  UNIT(test_lun_not_ready_for_a_while_keeps_its_disk),
	  UNIT(test_lun_is_reattached_if_name_and_size_are_the_same),
	  UNIT(test_lun_path_of_a_resumed_session_goes_on_at_once),
	  UNIT(test_lun_after_a_restart_must_be_identical),
	  UNIT(test_lun_not_ready_after_a_restart_stays_unverified),
	  UNIT(test_lun_missing_after_a_restart_is_gone), UNIT(test_lun_twin_shares_the_disk),
	  UNIT(test_lun_twins_keep_what_is_not_flushed),
	  UNIT(test_lun_twin_that_is_another_unit_after_a_restart_parts),
	  UNIT(test_lun_twin_in_use_is_merged_another_time),
	  UNIT(test_lun_merge_compares_what_is_told),
	  UNIT(test_lun_merge_compares_what_was_read), UNIT(test_lun_policy_and_path_are_set),
	  UNIT(test_lun_holder_names_the_process),
	  UNIT(test_logout_is_refused_while_a_unit_is_open),
	  UNIT(test_lun_block_size_hint_is_a_power_of_two_within_bounds))
