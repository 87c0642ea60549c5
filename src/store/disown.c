/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disown.c - what a person was told was not recorded must not happen.  A row may have got in all
 * the same: its COMMIT was answered too late or not at all.  Each such delivery is on a list until
 * the database says that it is kept out, cancelled or taken back.
 */
#include "store_internal.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "core/request.h"

enum { DISOWN_MAX = 10000, DISOWN_EVERY_MS = FAILPOINT_MS(1000), DISOWN_MS = 5000 };

struct disowned {
	struct list_node node;
	char id[ID_REQUEST_LEN];
	char *envelope_id, *dedup, *kind;
	bool click;
};

static void ask(struct store *store);

static void disowned_free(struct disowned *item)
{
	free(item->envelope_id);
	free(item->dedup);
	free(item->kind);
	free(item);
}

static void drop_first(struct store *store)
{
	disowned_free(list_entry(list_pop(&store->disowned), struct disowned, node));
}

static void on_timer(uv_timer_t *timer)
{
	ask(timer->data);
}

static void again_later(struct store *store)
{
	if (store->disowned.count > 0)
		uv_timer_start(&store->disown_timer, on_timer, DISOWN_EVERY_MS, 0);
}

static void take_answers(struct store *store, const struct db_answer *answer)
{
	for (size_t i = 0; i < store->disowning; i++) {
		struct list_node *node = list_first(&store->disowned);
		struct disowned *item = list_entry(node, struct disowned, node);
		const char *what = db_text(answer->results[i], 0, 0);

		log_info("not recorded, made sure of", LOG_STR("request", item->id),
			 LOG_STR("what", what));
		drop_first(store);
	}
}

static void on_answer(void *data, const struct db_answer *answer, const struct err *err)
{
	struct store *store = data;

	store->disown_call = NULL;
	if (err == NULL) {
		take_answers(store, answer);
		store->disown_alone = false;
		ask(store);
		return;
	}
	if (err->kind == ERR_INVALID && store->disown_alone) {
		log_error("cannot make sure that a delivery stays unrecorded",
			  LOG_STR("error", err->msg));
		drop_first(store);
	}
	store->disown_alone = err->kind == ERR_INVALID;
	again_later(store);
}

static void fill(const struct store *store, const struct disowned *item,
		 struct db_statement *ret_statement, const char *values[DISOWN_PARAMS])
{
	const char *const row[DISOWN_PARAMS] = {
		store->boot_id, store->observer,        item->id, item->envelope_id, item->dedup,
		item->kind,     item->click ? "t" : "f"
	};

	for (size_t i = 0; i < DISOWN_PARAMS; i++)
		values[i] = row[i];
	*ret_statement =
		(struct db_statement){ .name = "ops_disown",
				       .sql = "SELECT ops.disown($1, $2, $3, $4, $5, $6, $7)",
				       .n = DISOWN_PARAMS,
				       .params = values };
}

static void ask(struct store *store)
{
	struct db_statement statements[DB_STATEMENTS_MAX];
	const char *values[DB_STATEMENTS_MAX][DISOWN_PARAMS];
	size_t max = store->disown_alone ? 1 : DB_STATEMENTS_MAX, n = 0;

	if (store->disown_call != NULL || store->disowned.count == 0)
		return;
	for (struct list_node *node = list_first(&store->disowned); node != NULL && n < max;
	     node = list_next(&store->disowned, node), n++)
		fill(store, list_entry(node, struct disowned, node), &statements[n], values[n]);
	store->disowning = n;
	store->disown_call = db_start(store->intake, statements, n, DISOWN_MS, on_answer, store);
}

/* Whoever tries again at once must not be told that the first try is known. */
bool store_disowned(const struct store *store, const char *dedup,
		    struct db_statement *ret_statement, const char *values[DISOWN_PARAMS])
{
	for (struct list_node *node = list_first(&store->disowned); node != NULL;
	     node = list_next(&store->disowned, node)) {
		const struct disowned *item = list_entry(node, struct disowned, node);

		if (str_eq(item->dedup, dedup)) {
			fill(store, item, ret_statement, values);
			return true;
		}
	}
	return false;
}

void store_disown(struct store *store, const struct request *rq, bool click)
{
	struct disowned *item = xcalloc(1, sizeof(*item));

	for (size_t i = 0; i < sizeof(item->id); i++)
		item->id[i] = rq->id[i];
	item->envelope_id = xstrdup(rq->delivery.envelope_id);
	item->dedup = xstrdup(rq->delivery.dedup);
	item->kind = xstrdup(rq->delivery.kind != NULL ? rq->delivery.kind : "");
	item->click = click;
	if (store->disowned.count >= DISOWN_MAX && store->disown_call == NULL) {
		log_error("too many unrecorded deliveries to make sure of; one given up");
		drop_first(store);
	}
	if (store->disowned.count >= DISOWN_MAX) {
		disowned_free(item);
		return;
	}
	list_push(&store->disowned, &item->node);
	if (store->disown_call == NULL && !uv_is_active((uv_handle_t *)&store->disown_timer))
		uv_timer_start(&store->disown_timer, on_timer, DISOWN_EVERY_MS, 0);
}

void store_disown_init(struct store *store)
{
	list_init(&store->disowned);
	uv_timer_init(store->loop, &store->disown_timer);
	store->disown_timer.data = store;
}

static void on_closed(uv_handle_t *timer)
{
	free(timer->data);
}

void store_disown_finish(struct store *store)
{
	call_cancel(&store->disown_call);
	while (store->disowned.count > 0)
		drop_first(store);
	uv_close((uv_handle_t *)&store->disown_timer, on_closed);
}
