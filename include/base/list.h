/* SPDX-License-Identifier: Apache-2.0 */
/* list - intrusive doubly linked list with a count; header only.  A node is on at most one list. */
#ifndef OPSD_BASE_LIST_H
#define OPSD_BASE_LIST_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>

struct list_node {
	struct list_node *prev, *next; /* NULL: on no list */
};

struct list {
	struct list_node head;
	size_t count;
};

#define list_entry(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

static inline void list_init(struct list *list)
{
	list->head.prev = list->head.next = &list->head;
	list->count = 0;
}

static inline bool list_linked(const struct list_node *node)
{
	return node->next != NULL;
}

static inline void list_push(struct list *list, struct list_node *node)
{
	assert(!list_linked(node));
	node->prev = list->head.prev;
	node->next = &list->head;
	node->prev->next = node;
	list->head.prev = node;
	list->count++;
}

static inline void list_remove(struct list *list, struct list_node *node)
{
	assert(list_linked(node) && list->count > 0);
	node->prev->next = node->next;
	node->next->prev = node->prev;
	node->prev = node->next = NULL;
	list->count--;
}

static inline struct list_node *list_first(const struct list *list)
{
	return list->count == 0 ? NULL : list->head.next;
}

static inline struct list_node *list_next(const struct list *list, const struct list_node *node)
{
	return node->next == &list->head ? NULL : node->next;
}

static inline struct list_node *list_pop(struct list *list)
{
	struct list_node *node = list_first(list);

	if (node != NULL)
		list_remove(list, node);
	return node;
}

#endif
