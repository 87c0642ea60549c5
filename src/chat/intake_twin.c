/* SPDX-License-Identifier: Apache-2.0 */
/*
 * intake_twin.c - one intent that arrives again while its first delivery is still with the
 * database.  It is the same asking, so it waits for the same answer: were both tried, the answer of
 * one could be lost, and its person be told that nothing was recorded while the other goes on.
 */
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/list.h"
#include "base/xalloc.h"
#include "core/request.h"
#include "intake_internal.h"

enum { TWINS_MAX = 100 }; /* Slack delivers again a few times, not a hundred */

struct twin {
	struct list_node node;
	char *envelope_id;
	struct slack_via via;
};

struct taking {
	char *dedup;
	struct list twins; /* deliveries beside the first, oldest first */
	UT_hash_handle hh;
};

static struct slack_via via_of(const struct request *rq)
{
	return (struct slack_via){ .slot = (uint32_t)(rq->delivery.socket >> 32),
				   .generation = (uint32_t)rq->delivery.socket };
}

static void twin_free(struct twin *twin)
{
	free(twin->envelope_id);
	free(twin);
}

static void taking_free(struct intake *intake, struct taking *taking)
{
	HASH_DEL(intake->takings, taking);
	while (taking->twins.count > 0)
		twin_free(list_entry(list_pop(&taking->twins), struct twin, node));
	free(taking->dedup);
	free(taking);
}

static void wait_with(struct taking *taking, const struct request *rq)
{
	struct twin *twin;

	if (taking->twins.count >= TWINS_MAX)
		return; /* not acknowledged: Slack brings it again */
	twin = xcalloc(1, sizeof(*twin));
	twin->envelope_id = xstrdup(rq->delivery.envelope_id);
	twin->via = via_of(rq);
	list_push(&taking->twins, &twin->node);
}

void intake_begin(struct intake *intake, struct request *rq, enum op_step first)
{
	struct taking *taking;

	HASH_FIND_STR(intake->takings, rq->delivery.dedup, taking);
	if (taking != NULL) {
		wait_with(taking, rq);
		request_destroy(rq);
		return;
	}
	taking = xcalloc(1, sizeof(*taking));
	taking->dedup = xstrdup(rq->delivery.dedup);
	list_init(&taking->twins);
	HASH_ADD_KEYPTR(hh, intake->takings, taking->dedup, strlen(taking->dedup), taking);
	(void)op_start(intake->config.ops, rq, first);
}

void intake_ack_all(struct intake *intake, const struct request *rq, const char *payload)
{
	struct taking *taking;

	intake_ack(intake, via_of(rq), rq->delivery.envelope_id, payload);
	HASH_FIND_STR(intake->takings, rq->delivery.dedup, taking);
	if (taking == NULL)
		return;
	for (struct list_node *node = list_first(&taking->twins); node != NULL;
	     node = list_next(&taking->twins, node)) {
		const struct twin *twin = list_entry(node, struct twin, node);

		intake_ack(intake, twin->via, twin->envelope_id, payload);
	}
	taking_free(intake, taking);
}

void intake_takings_drop(struct intake *intake)
{
	struct taking *taking, *next;

	HASH_ITER(hh, intake->takings, taking, next)
	{
		taking_free(intake, taking);
	}
}
