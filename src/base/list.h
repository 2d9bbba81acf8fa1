/* SPDX-License-Identifier: BSD-2-Clause */
/* Intrusive doubly linked list. A node is embedded in the thing it links; the head is a node
 * of its own. A node that is on no list points to itself, so list_remove() may always be
 * called and list_is_linked() tells. Nothing here allocates or fails. */
#ifndef ISCSIFS_LIST_H
#define ISCSIFS_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *prev, *next;
};

#define container_of(ptr, type, member) \
	((type *)((char *)(ptr) - offsetof(type, member)))

static inline void list_init(struct list *l)
{
	l->prev = l->next = l;
}

static inline bool list_is_empty(const struct list *head)
{
	return head->next == head;
}

static inline bool list_is_linked(const struct list *node)
{
	return node->next != node;
}

static inline void list_insert(struct list *prev, struct list *node, struct list *next)
{
	node->prev = prev;
	node->next = next;
	prev->next = node;
	next->prev = node;
}

static inline void list_push_tail(struct list *head, struct list *node)
{
	list_insert(head->prev, node, head);
}

static inline void list_push_head(struct list *head, struct list *node)
{
	list_insert(head, node, head->next);
}

/* Take @node off its list; harmless when it is on none. */
static inline void list_remove(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

/* Move everything on @from to the tail of @to, in order. */
static inline void list_splice_tail(struct list *to, struct list *from)
{
	if (list_is_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

/* First node, or NULL when empty; it stays on the list. */
static inline struct list *list_first(const struct list *head)
{
	return list_is_empty(head) ? NULL : head->next;
}

/* First node taken off the list, or NULL when empty. */
static inline struct list *list_pop(struct list *head)
{
	struct list *node = list_first(head);

	if (node)
		list_remove(node);
	return node;
}

#define list_entry(node, type, member) container_of(node, type, member)

#define list_for_each(pos, head) \
	for (struct list *pos = (head)->next; pos != (head); pos = pos->next)

/* The body may remove @pos (and only @pos) from the list. */
#define list_for_each_safe(pos, head)                                               \
	for (struct list *pos = (head)->next, *pos##_next = pos->next; pos != (head); \
	     pos = pos##_next, pos##_next = pos->next)

#endif
