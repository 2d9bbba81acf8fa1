/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of nodes; node.h is the manual. Knows nothing of libfuse. Control path: a lookup
 * may allocate; reads and writes of data never come here. */
#include "fuse/node.h"

#include <assert.h>

#define NODE_INO_ROOT 1
#define NODE_ROW_BITS 10 /* of an inode number; the rest is the object's id */
#define NODE_ROW_FIRST 2 /* 0 is no inode number, 1 the root's */

static guint pair_hash(const void *p)
{
	const struct node *n = p;

	return g_int64_hash(&n->obj->id) ^ g_direct_hash(n->row);
}

static gboolean pair_equal(const void *a, const void *b)
{
	const struct node *x = a, *y = b;

	return x->obj->id == y->obj->id && x->row == y->row;
}

static void number_row(struct node_table *t, const struct attr *row);

static void number_dir(struct node_table *t, const struct attr_dir *dir)
{
	for (const struct attr *row = dir->attrs; row->name; row++)
		number_row(t, row);
	if (dir->child)
		number_row(t, dir->child);
}

static void number_row(struct node_table *t, const struct attr *row)
{
	unsigned number = NODE_ROW_FIRST + g_hash_table_size(t->row_numbers);

	if (g_hash_table_contains(t->row_numbers, row))
		return;
	assert(number < 1u << NODE_ROW_BITS);
	g_hash_table_insert(t->row_numbers, (void *)row, GUINT_TO_POINTER(number));
	if (row->type == ATTR_DIR)
		number_dir(t, row->dir);
}

void node_table_init(struct node_table *t, const struct attr *root_row, struct object *root)
{
	*t = (struct node_table){
		.nodes = g_hash_table_new(pair_hash, pair_equal),
		.row_numbers = g_hash_table_new(NULL, NULL),
	};
	list_init(&t->all);
	number_dir(t, root_row->dir);
	t->root = g_new0(struct node, 1);
	t->root->obj = object_ref(root);
	t->root->row = root_row;
	t->root->ino = NODE_INO_ROOT;
}

static void node_free(struct node *n)
{
	object_unref(n->obj);
	g_free(n);
}

void node_table_done(struct node_table *t)
{
	struct list *link;

	if (!t->nodes)
		return;
	g_hash_table_destroy(t->nodes);
	while ((link = list_pop(&t->all))) {
		struct node *n = list_entry(link, struct node, link);

		assert(!n->opens);
		node_free(n);
	}
	g_hash_table_destroy(t->row_numbers);
	node_free(t->root);
	*t = (struct node_table){ 0 };
}

uint64_t node_ino(const struct node_table *t, const struct object *o, const struct attr *row)
{
	void *number = g_hash_table_lookup(t->row_numbers, row);

	assert(number);
	return o->id << NODE_ROW_BITS | GPOINTER_TO_UINT(number);
}

static struct node *node_new(struct node_table *t, struct object *o, const struct attr *row,
			     const struct attr_dir *dir)
{
	struct node *n = g_new0(struct node, 1);

	n->obj = object_ref(o);
	n->row = row;
	n->dir = dir;
	n->ino = node_ino(t, o, row);
	n->is_private = row->type == ATTR_CTL;
	if (!n->is_private)
		g_hash_table_add(t->nodes, n);
	list_push_tail(&t->all, &n->link);
	t->count++;
	return n;
}

struct node *node_get(struct node_table *t, struct object *o, const struct attr *row,
		      const struct attr_dir *dir)
{
	struct node key = { .obj = o, .row = row };
	struct node *n = g_hash_table_lookup(t->nodes, &key);

	if (!n)
		n = node_new(t, o, row, dir);
	n->lookups++;
	return n;
}

static void node_put(struct node_table *t, struct node *n)
{
	if (n->lookups || n->opens || n == t->root)
		return;
	if (!n->is_private)
		g_hash_table_remove(t->nodes, n);
	list_remove(&n->link);
	t->count--;
	node_free(n);
}

void node_forget(struct node_table *t, struct node *n, uint64_t count)
{
	assert(n == t->root || n->lookups >= count);
	n->lookups -= n == t->root ? 0 : count;
	node_put(t, n);
}

struct node *node_renew(struct node_table *t, struct node *n)
{
	struct node *fresh;

	assert(!n->is_private && n->lookups);
	g_hash_table_remove(t->nodes, n);
	n->is_private = true;
	fresh = node_get(t, n->obj, n->row, n->dir);
	node_forget(t, n, 1);
	return fresh;
}

void node_open(struct node *n)
{
	n->opens++;
}

void node_close(struct node_table *t, struct node *n)
{
	assert(n->opens);
	n->opens--;
	node_put(t, n);
}

bool node_is_gone(const struct node *n)
{
	return n->obj->is_gone;
}
