/* SPDX-License-Identifier: BSD-2-Clause */
/* Nodes and their inode numbers, with a small tree of its own; the last test numbers the real
 * one. */
#include "fuse/node.h"

#include "fuse/tree.h"
#include "unit.h"

/* --- a tree: /value /ctl /sub/value --- */

static const struct attr sub_attrs[] = {
	{ "value", ATTR_VALUE, .mode = 0444 },
	{ 0 },
};
static const struct attr_dir sub_dir = { .name = "sub", .attrs = sub_attrs };
static const struct attr child_row = { "N", ATTR_DIR, .mode = 0555, .dir = &sub_dir };
static const struct attr root_attrs[] = {
	{ "value", ATTR_VALUE, .mode = 0444 },
	{ "ctl", ATTR_CTL, .mode = 0644 },
	{ "sub", ATTR_DIR, .mode = 0555, .dir = &sub_dir },
	{ 0 },
};
static const struct attr_dir root_dir = { .name = "/",
					  .attrs = root_attrs,
					  .child = &child_row };
static const struct attr root_row = { "", ATTR_DIR, .mode = 0555, .dir = &root_dir };

#define VALUE (&root_attrs[0])
#define CTL (&root_attrs[1])

struct thing {
	struct object obj;
	bool *is_freed;
};

static void thing_free(struct object *o)
{
	struct thing *t = container_of(o, struct thing, obj);

	object_done(o);
	*t->is_freed = true;
	g_free(t);
}

struct fixture {
	struct loop *loop;
	struct thing *root, *thing;
	bool is_root_freed, is_thing_freed;
	struct node_table nodes;
};

static struct thing *thing_new(struct loop *l, bool *is_freed)
{
	struct thing *t = g_new0(struct thing, 1);

	t->is_freed = is_freed;
	object_init(&t->obj, l, OBJECT_DAEMON, thing_free);
	return t;
}

static void start(struct fixture *f)
{
	*f = (struct fixture){ .loop = loop_new() };
	f->root = thing_new(f->loop, &f->is_root_freed);
	f->thing = thing_new(f->loop, &f->is_thing_freed);
	node_table_init(&f->nodes, &root_row, &f->root->obj);
}

/* Whoever's object is not gone yet is let go. */
static void stop(struct fixture *f)
{
	node_table_done(&f->nodes);
	object_unref(&f->root->obj);
	if (!f->is_thing_freed)
		object_unref(&f->thing->obj);
	loop_run_once(f->loop, 0);
	CU_ASSERT_TRUE(f->is_root_freed);
	CU_ASSERT_TRUE(f->is_thing_freed);
	loop_free(f->loop);
}

static void test_node_of_a_pair_is_always_the_same(void)
{
	struct fixture f;
	struct node *a, *b, *c, *d;

	start(&f);
	a = node_get(&f.nodes, &f.thing->obj, VALUE, &root_dir);
	b = node_get(&f.nodes, &f.thing->obj, VALUE, &root_dir);
	c = node_get(&f.nodes, &f.root->obj, VALUE, &root_dir);
	d = node_get(&f.nodes, &f.thing->obj, &sub_attrs[0], &sub_dir);
	CU_ASSERT_PTR_EQUAL(a, b);
	CU_ASSERT_EQUAL(a->lookups, 2);
	CU_ASSERT_PTR_NOT_EQUAL(a, c);
	CU_ASSERT_PTR_NOT_EQUAL(a, d);
	CU_ASSERT_EQUAL(f.nodes.count, 3);
	stop(&f);
}

static void test_node_goes_when_all_lookups_are_forgotten(void)
{
	struct fixture f;
	struct node *n;

	start(&f);
	n = node_get(&f.nodes, &f.thing->obj, VALUE, &root_dir);
	node_get(&f.nodes, &f.thing->obj, VALUE, &root_dir);
	node_get(&f.nodes, &f.thing->obj, VALUE, &root_dir);
	node_forget(&f.nodes, n, 2);
	CU_ASSERT_EQUAL(f.nodes.count, 1);
	node_forget(&f.nodes, n, 1);
	CU_ASSERT_EQUAL(f.nodes.count, 0);
	stop(&f);
}

static void test_node_stays_while_it_is_open(void)
{
	struct fixture f;
	struct node *n;

	start(&f);
	n = node_get(&f.nodes, &f.thing->obj, VALUE, &root_dir);
	node_open(n);
	node_forget(&f.nodes, n, 1);
	CU_ASSERT_EQUAL(f.nodes.count, 1);
	node_close(&f.nodes, n);
	CU_ASSERT_EQUAL(f.nodes.count, 0);
	stop(&f);
}

static void test_node_keeps_the_memory_of_a_gone_object(void)
{
	struct fixture f;
	struct node *n;

	start(&f);
	n = node_get(&f.nodes, &f.thing->obj, VALUE, &root_dir);
	CU_ASSERT_FALSE(node_is_gone(n));
	object_gone(&f.thing->obj);
	loop_run_once(f.loop, 0);
	CU_ASSERT_FALSE(f.is_thing_freed);
	CU_ASSERT_TRUE(node_is_gone(n));
	node_forget(&f.nodes, n, 1);
	loop_run_once(f.loop, 0);
	CU_ASSERT_TRUE(f.is_thing_freed);
	stop(&f);
}

static void test_node_renewed_is_another_one_from_then_on(void)
{
	struct fixture f;
	struct node *old, *fresh;

	start(&f);
	old = node_get(&f.nodes, &f.thing->obj, VALUE, &root_dir);
	node_open(old);
	node_get(&f.nodes, &f.thing->obj, VALUE, &root_dir); /* the lookup that is renewed */
	fresh = node_renew(&f.nodes, old);
	CU_ASSERT_PTR_NOT_EQUAL(fresh, old);
	CU_ASSERT_EQUAL(fresh->ino, old->ino);
	CU_ASSERT_EQUAL(fresh->lookups, 1);
	CU_ASSERT_EQUAL(old->lookups, 1);
	CU_ASSERT_PTR_EQUAL(node_get(&f.nodes, &f.thing->obj, VALUE, &root_dir), fresh);
	node_forget(&f.nodes, old, 1);
	node_close(&f.nodes, old);
	node_forget(&f.nodes, fresh, 2);
	CU_ASSERT_EQUAL(f.nodes.count, 0);
	stop(&f);
}

static void test_node_of_a_ctl_is_never_shared(void)
{
	struct fixture f;
	struct node *a, *b;

	start(&f);
	a = node_get(&f.nodes, &f.thing->obj, CTL, &root_dir);
	b = node_get(&f.nodes, &f.thing->obj, CTL, &root_dir);
	CU_ASSERT_PTR_NOT_EQUAL(a, b);
	CU_ASSERT_EQUAL(a->ino, b->ino);
	node_forget(&f.nodes, a, 1);
	CU_ASSERT_EQUAL(f.nodes.count, 1);
	stop(&f);
}

static void test_node_ino_is_stable_and_unique(void)
{
	struct fixture f;
	struct node *n;
	uint64_t ino;

	start(&f);
	n = node_get(&f.nodes, &f.thing->obj, VALUE, &root_dir);
	ino = n->ino;
	CU_ASSERT_EQUAL(node_ino(&f.nodes, &f.thing->obj, VALUE), ino);
	node_forget(&f.nodes, n, 1);
	n = node_get(&f.nodes, &f.thing->obj, VALUE, &root_dir);
	CU_ASSERT_EQUAL(n->ino, ino);
	CU_ASSERT_NOT_EQUAL(node_ino(&f.nodes, &f.thing->obj, CTL), ino);
	CU_ASSERT_NOT_EQUAL(node_ino(&f.nodes, &f.root->obj, VALUE), ino);
	CU_ASSERT_NOT_EQUAL(node_ino(&f.nodes, &f.root->obj, VALUE), f.nodes.root->ino);
	stop(&f);
}

static void test_node_root_is_never_forgotten(void)
{
	struct fixture f;

	start(&f);
	node_forget(&f.nodes, f.nodes.root, 1000);
	CU_ASSERT_PTR_EQUAL(f.nodes.root->row, &root_row);
	node_open(f.nodes.root);
	node_close(&f.nodes, f.nodes.root);
	CU_ASSERT_FALSE(node_is_gone(f.nodes.root));
	stop(&f);
}

/* An unmount: the kernel is gone without having forgotten anything. stop() sees the objects
 * freed. */
static void test_node_table_frees_what_the_kernel_held(void)
{
	struct fixture f;

	start(&f);
	node_get(&f.nodes, &f.thing->obj, VALUE, &root_dir);
	node_get(&f.nodes, &f.thing->obj, CTL, &root_dir);
	node_get(&f.nodes, &f.thing->obj, CTL, &root_dir);
	stop(&f);
}

static void test_node_table_takes_the_real_tree(void)
{
	bool is_freed = false;
	struct loop *loop = loop_new();
	struct thing *t = thing_new(loop, &is_freed);
	struct node_table nodes;

	node_table_init(&nodes, &tree_root_row, &t->obj);
	CU_ASSERT(g_hash_table_size(nodes.row_numbers) > 50);
	node_table_done(&nodes);
	object_unref(&t->obj);
	loop_free(loop);
	CU_ASSERT_TRUE(is_freed);
}

UNIT_MAIN("node", UNIT(test_node_of_a_pair_is_always_the_same),
	  UNIT(test_node_goes_when_all_lookups_are_forgotten),
	  UNIT(test_node_stays_while_it_is_open),
	  UNIT(test_node_keeps_the_memory_of_a_gone_object),
	  UNIT(test_node_renewed_is_another_one_from_then_on),
	  UNIT(test_node_of_a_ctl_is_never_shared), UNIT(test_node_ino_is_stable_and_unique),
	  UNIT(test_node_root_is_never_forgotten),
	  UNIT(test_node_table_frees_what_the_kernel_held),
	  UNIT(test_node_table_takes_the_real_tree))
