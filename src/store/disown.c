/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disown.c - what a person is told was not recorded must not happen.  A row may have got in all the
 * same: its COMMIT was answered too late or not at all; or another replica may have the same
 * delivery.  Each such delivery is on a list until the database says that it is kept out, cancelled
 * or taken back, or that it is recorded.  For as long as an answer to the person can wait, what
 * they are told waits for that; afterwards they were told that nothing was recorded.
 */
#include "store_internal.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "core/request.h"

/* SAY_MS after a delivery was sent to the database: longer than any answer of a replica that did
 * record it is waited for, so that the answer "nothing was recorded" of one replica does not
 * overtake that of another which has the same delivery at the same time. */
enum { DISOWN_MAX = 10000, DISOWN_EVERY_MS = FAILPOINT_MS(1000), DISOWN_MS = 5000, SAY_MS = 1500 };

struct disowned {
	struct list_node node;
	char id[ID_REQUEST_LEN];
	char *envelope_id, *dedup, *kind;
	bool click;
	struct job *job; /* its person has not been told yet; NULL: they were */
	int64_t say_ms;  /* when that must be, by clock_mono_ms */
};

struct sure { /* a job whose person can be told now */
	struct job *job;
	char *known_id, *known_state;
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

/* Its person is told without it. */
static void tell_unsure(struct disowned *item)
{
	struct job *job = item->job;

	item->job = NULL;
	job->disowned = NULL;
	job->rq->unsure = true;
	store_job_sure(job, NULL, NULL);
}

/* The time is up. */
static void say_overdue(struct store *store)
{
	int64_t now = clock_mono_ms();
	struct list_node *node = list_first(&store->disowned);

	while (node != NULL) {
		struct disowned *item = list_entry(node, struct disowned, node);

		node = list_next(&store->disowned, node);
		if (item->job == NULL || item->say_ms > now)
			continue;
		tell_unsure(item);
		node = list_first(&store->disowned); /* whoever was told may have changed it */
	}
}

static void on_timer(uv_timer_t *timer);

static void again_later(struct store *store)
{
	int64_t now = clock_mono_ms(), wait = DISOWN_EVERY_MS;

	if (store->disowned.count == 0)
		return;
	for (struct list_node *node = list_first(&store->disowned); node != NULL;
	     node = list_next(&store->disowned, node)) {
		const struct disowned *item = list_entry(node, struct disowned, node);

		if (item->job != NULL && item->say_ms - now < wait)
			wait = item->say_ms > now ? item->say_ms - now : 0;
	}
	uv_timer_start(&store->disown_timer, on_timer, (uint64_t)wait, 0);
}

static void on_timer(uv_timer_t *timer)
{
	struct store *store = timer->data;

	say_overdue(store);
	ask(store);
	again_later(store);
}

static struct sure take_first(struct store *store, const struct db_result *result)
{
	struct disowned *item = list_entry(list_first(&store->disowned), struct disowned, node);
	struct sure sure = { .job = item->job };

	log_info("not recorded, made sure of", LOG_STR("request", item->id),
		 LOG_STR("what", db_text(result, 0, 0)));
	if (item->job != NULL) {
		item->job->disowned = NULL;
		sure.known_id = xstrdup_null(db_text(result, 0, 1));
		sure.known_state = xstrdup_null(db_text(result, 0, 2));
	}
	drop_first(store);
	return sure;
}

/* All are off the list before anybody is told, for who is told may ask for more. */
static void take_answers(struct store *store, const struct db_answer *answer)
{
	struct sure sures[DB_STATEMENTS_MAX];
	size_t n = store->disowning;

	for (size_t i = 0; i < n; i++)
		sures[i] = take_first(store, answer->results[i]);
	for (size_t i = 0; i < n; i++) {
		if (sures[i].job != NULL)
			store_job_sure(sures[i].job, sures[i].known_id, sures[i].known_state);
		free(sures[i].known_id);
		free(sures[i].known_state);
	}
}

static void give_up_first(struct store *store)
{
	struct disowned *item = list_entry(list_pop(&store->disowned), struct disowned, node);

	if (item->job != NULL)
		tell_unsure(item);
	disowned_free(item);
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
		give_up_first(store);
	}
	store->disown_alone = err->kind == ERR_INVALID;
	again_later(store);
}

static void fill(const struct store *store, const struct disowned *item,
		 struct db_statement *ret_statement, const char *values[DISOWN_PARAMS])
{
	const char *const row[DISOWN_PARAMS] = { store->boot_id,
						 store->observer,
						 item->id,
						 item->envelope_id,
						 item->dedup,
						 item->kind,
						 item->click ? "t" : "f",
						 item->job == NULL ? "t" : "f" };

	for (size_t i = 0; i < DISOWN_PARAMS; i++)
		values[i] = row[i];
	*ret_statement = (struct db_statement){
		.name = "ops_disown",
		.sql = "SELECT * FROM ops.disown($1, $2, $3, $4, $5, $6, $7, "
		       "$8)",
		.n = DISOWN_PARAMS,
		.params = values
	};
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

void store_disown(struct store *store, struct job *job, bool said)
{
	struct request *rq = job->rq;
	struct disowned *item;

	rq->unsure = said;
	if (store->disowned.count >= DISOWN_MAX) {
		log_error("too many unrecorded deliveries to make sure of; one given up");
		rq->unsure = true;
		return;
	}
	item = xcalloc(1, sizeof(*item));
	for (size_t i = 0; i < sizeof(item->id); i++)
		item->id[i] = rq->id[i];
	item->envelope_id = xstrdup(rq->delivery.envelope_id);
	item->dedup = xstrdup(rq->delivery.dedup);
	item->kind = xstrdup(rq->delivery.kind != NULL ? rq->delivery.kind : "");
	item->click = job->click;
	list_push(&store->disowned, &item->node);
	if (!said) {
		item->job = job;
		item->say_ms = job->sent_ms + SAY_MS;
		job->disowned = item;
		ask(store);
	}
	again_later(store);
}

void store_disown_said(struct disowned *item)
{
	item->job = NULL;
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
