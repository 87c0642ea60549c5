/* SPDX-License-Identifier: Apache-2.0 */
/* socket_held.c - acknowledgements that wait for the next socket. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "socket_internal.h"

bool held_add(struct list *held, const char *text, size_t len)
{
	struct held_ack *ack;

	if (held->count >= HELD_MAX)
		return false;
	ack = xcalloc(1, sizeof(*ack) + len + 1);
	ack->since_ms = clock_mono_ms();
	ack->len = len;
	memcpy(ack->text, text, len);
	list_push(held, &ack->node);
	return true;
}

void held_send(struct list *held, uint64_t *ret_stale,
	       void (*send)(void *data, const char *text, size_t len), void *data)
{
	for (size_t n = held->count; n > 0; n--) {
		struct held_ack *ack = list_entry(list_pop(held), struct held_ack, node);

		if (clock_mono_ms() - ack->since_ms < HELD_MS)
			send(data, ack->text, ack->len);
		else
			(*ret_stale)++;
		free(ack);
	}
}

void held_drop(struct list *held)
{
	struct list_node *node;

	while ((node = list_pop(held)) != NULL)
		free(list_entry(node, struct held_ack, node));
}
