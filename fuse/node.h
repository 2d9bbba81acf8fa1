/* SPDX-License-Identifier: BSD-2-Clause */
/* Nodes: what the kernel knows of the tree. A node is a pair (object, row of an attribute
 * table), made when the kernel looks a name up and freed when the kernel has forgotten it and
 * nobody has it open. The kernel's node id is the node's address, so that the data path needs
 * no search; FUSE_ROOT_ID stands for the root.
 *
 * A node holds a reference of its object, and so the object's memory stays; when the object has
 * gone, node_is_gone() says so and the caller answers ENODEV or ESTALE. Object ids are never
 * used twice: a new LUN of an old number is another node with another inode number.
 *
 * Control files are the exception to one node a pair: every lookup of a ctl gives a node of its
 * own (with the same inode number). The kernel holds an inode's lock during a write and during
 * the O_TRUNC of `>`, so that with one node a second `echo logout > ctl` would wait, deaf to
 * signals, for the end of the first command. */
#ifndef ISCSIFS_NODE_H
#define ISCSIFS_NODE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "fuse/attr.h"

struct node {
	struct list link;   /* node_table's all */
	struct object *obj; /* a reference */
	const struct attr *row;
	const struct attr_dir *dir; /* that @row is in; NULL: the root */
	uint64_t ino;
	uint64_t lookups; /* that the kernel has not forgotten */
	unsigned opens;
	unsigned cached; /* of these, by the page cache: handle.c counts */
	uint64_t size; /* that the kernel was told first, when it believes no other; 0: it does */
	bool is_private; /* a ctl, or renewed: not in the table */
};

struct node_table {
	GHashTable *nodes;	 /* struct node * as its own key, by (object id, row) */
	GHashTable *row_numbers; /* struct attr * -> its number, for inode numbers */
	struct list all;	 /* but the root */
	struct node *root;
	unsigned count; /* of all */
};

/* @root_row: its directory is walked to number all rows below. The root holds a reference of
 * @root until node_table_done(). */
void node_table_init(struct node_table *t, const struct attr *root_row, struct object *root);
/* The kernel is gone: frees every node, whatever it still had looked up. Nothing may be
 * open. */
void node_table_done(struct node_table *t);

/* The node of a pair, made if need be; one lookup more. */
struct node *node_get(struct node_table *t, struct object *o, const struct attr *row,
		      const struct attr_dir *dir);
/* A lookup of @n has just been counted: of another one instead, which takes its place. */
struct node *node_renew(struct node_table *t, struct node *n);
/* The kernel forgets @count lookups: may free @n. The root stays. */
void node_forget(struct node_table *t, struct node *n, uint64_t count);
/* An open file keeps its node. */
void node_open(struct node *n);
void node_close(struct node_table *t, struct node *n);

/* The number that stat(2) shows: the same for the same pair as long as the daemon runs, and for
 * entries that have no node too. */
uint64_t node_ino(const struct node_table *t, const struct object *o, const struct attr *row);
bool node_is_gone(const struct node *n);

#endif
