/* SPDX-License-Identifier: Apache-2.0 */
/*
 * races: sixteen clickers and workers on two replicas confirm, cancel, start, settle, disown, let
 * leases and offers end and take over, at random.  Afterwards: no effect twice, one end each,
 * fences only grew. OPSD_TEST_SEED repeats a run.
 */
#include "store_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REQUESTS = 80, ACTORS = 16, ACTIONS = 1500 };

struct actor {
	struct replica *replica;
	struct request *rq; /* of this actor's click or take-over */
	size_t target;
	int busy;
};

static struct request *offers[REQUESTS];
static int effects[REQUESTS];
static struct actor actors[ACTORS];
static unsigned actions, running;
static uint64_t seed;

static unsigned dice(unsigned n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(seed >> 33) % n;
}

static void next(struct actor *actor);

static void rest(struct actor *actor)
{
	request_destroy(actor->rq);
	actor->rq = NULL;
	actor->busy = 0;
	running--;
	next(actor);
}

static void expect_possible(const struct err *err)
{
	if (err != NULL && err->kind != ERR_DENIED && err->kind != ERR_RETRY)
		fail_msg("%s: %s", err_kind_name(err->kind), err->msg);
}

static void on_over(void *data, const struct err *err)
{
	expect_possible(err);
	rest(data);
}

/* Two requests for each object: the lock of a target comes into it. */
static json_t *plan_for(size_t target)
{
	json_t *plan = plan_of(3, 5);
	char name[40];

	snprintf(name, sizeof(name), "workers-%zu", target / 2);
	json_object_set_new(json_object_get(plan, "target"), "name", json_string(name));
	return plan;
}

static void settle_some(struct actor *actor)
{
	static const enum request_state ends[] = { REQUEST_SUCCEEDED, REQUEST_FAILED,
						   REQUEST_UNKNOWN };
	json_t *facts = json_pack("{s:s}", "request", actor->rq->id);

	actor->rq->state = ends[dice(3)];
	store_settle(actor->replica->store, actor->rq, facts, facts, on_over, actor);
	json_decref(facts);
}

static void on_started(void *data, const struct err *err)
{
	struct actor *actor = data;

	expect_possible(err);
	if (err != NULL || actor->rq->state != REQUEST_RUNNING) {
		rest(actor);
		return;
	}
	assert_false(actor->rq->unheard);
	effects[actor->target]++;
	if (dice(4) == 0) /* dies here */
		rest(actor);
	else
		settle_some(actor);
}

static void start_some(struct actor *actor)
{
	json_t *with = json_object();

	actor->rq->command = offers[actor->target]->command;
	actor->rq->plan = plan_for(actor->target);
	store_start(actor->replica->store, actor->rq, "conditional", with, on_started, actor);
	json_decref(with);
}

static void on_sql(void *data, const struct db_answer *answer, const struct err *err)
{
	(void)answer;
	on_over(data, err);
}

static void sql(struct actor *actor, const char *text)
{
	const struct db_statement statement = { .sql = text };

	db_start(world.db, &statement, 1, PATIENCE_MS, on_sql, actor);
}

static void on_clicked(void *data, const struct err *err)
{
	struct actor *actor = data;
	struct request *rq = actor->rq;
	char text[400];

	expect_possible(err);
	if (err != NULL || rq->known_id != NULL || rq->state != REQUEST_CONFIRMING) {
		rest(actor);
		return;
	}
	switch (dice(6)) {
	case 0: /* dies here */
		rest(actor);
		return;
	case 1:
		snprintf(text, sizeof(text),
			 "SELECT ops.disown('%s', '{}', '%s', '%s', '%s', 'confirm', true, true)",
			 actor->replica == &replicas[0] ? "00000000-0000-4000-8000-00000000000a"
							: "00000000-0000-4000-8000-00000000000b",
			 rq->id, rq->delivery.envelope_id, rq->delivery.dedup);
		sql(actor, text);
		return;
	default:
		start_some(actor);
	}
}

static void click(struct actor *actor, const char *user, bool yes)
{
	actor->rq = make_click(offers[actor->target], user, NULL);
	store_confirm(actor->replica->store, actor->rq, yes, NULL, on_clicked, actor);
}

static void on_row(void *data, const json_t *row)
{
	struct actor *actor = data;

	if (actor->rq != NULL)
		return; /* one is enough; the others are taken over when their lease ends */
	for (size_t i = 0; i < REQUESTS; i++)
		if (strcmp(offers[i]->id, jget_str(row, "id")) == 0)
			actor->target = i;
	actor->rq = make_click(offers[actor->target], "ana", NULL);
	actor->rq->fence = jget_int(row, "fence", 0);
	actor->rq->unheard = jget_bool(row, "unheard", false);
	assert_true(request_state_from_name(jget_str(row, "state"), &actor->rq->state));
}

/* The click that was taken over may have been lost to the one who clicked: they are asked. */
static void offer_again(struct actor *actor)
{
	json_t *preview = json_object();

	actor->rq->plan = plan_of(3, 5);
	plan_digest(actor->rq->plan, actor->rq->digest);
	store_offer(actor->replica->store, actor->rq, preview, on_over, actor);
	json_decref(preview);
}

static void on_rows(void *data, const struct err *err)
{
	struct actor *actor = data;

	expect_possible(err);
	if (actor->rq == NULL)
		rest(actor);
	else if (actor->rq->state == REQUEST_RUNNING)
		settle_some(actor);                  /* the intent is there: no second effect */
	else if (actor->rq->unheard && dice(4) != 0) /* else it starts, and must be refused */
		offer_again(actor);
	else
		start_some(actor);
}

static void next(struct actor *actor)
{
	char text[300];

	if (actions >= ACTIONS || actor->busy)
		return;
	actions++;
	running++;
	actor->busy = 1;
	actor->replica = &replicas[dice(2)];
	actor->target = dice(REQUESTS);
	switch (dice(12)) {
	case 0:
		click(actor, "ana", false);
		return;
	case 1:
		click(actor, "ben", true);
		return;
	case 2:
		snprintf(text, sizeof(text),
			 "UPDATE ops.request SET expires_at = clock_timestamp(), wake_at = "
			 "clock_timestamp()"
			 " WHERE id = '%s' AND state = 'confirming' AND claimed_by IS NULL",
			 offers[actor->target]->id);
		sql(actor, text);
		return;
	case 3:
	case 4:
		/* Locks on many rows in any order would meet those of the clicks: one of the two
		 * would wait for the server to find that out, longer than a click may. */
		sql(actor, "UPDATE ops.request SET wake_at = clock_timestamp() WHERE id IN (SELECT "
			   "id FROM ops.request WHERE claimed_by IS NOT NULL FOR NO KEY UPDATE "
			   "SKIP LOCKED)");
		return;
	case 5:
	case 6:
		store_claim_due(actor->replica->store, 3, on_row, on_rows, actor);
		return;
	default:
		click(actor, "ana", true);
	}
}

static void offer_all(void)
{
	for (size_t i = 0; i < REQUESTS; i++) {
		struct request *rq = make("workers restart", "ana", "{\"team\":\"ads\"}", NULL);
		struct end end = receive(&replicas[0], rq);

		expect_good(&end);
		rq->plan = plan_for(i);
		plan_digest(rq->plan, rq->digest);
		end = offer(&replicas[0], rq);
		expect_good(&end);
		offers[i] = rq;
	}
}

/* Whoever is left: leases and offers end, everything is settled. */
static void finish_all(void)
{
	struct seen seen = ask("SELECT 1");

	actions = ACTIONS - 1;
	while (strcmp(seen.text, "0") != 0) {
		struct actor *actor = &actors[0];

		good("UPDATE ops.request SET wake_at = clock_timestamp(), expires_at = "
		     "clock_timestamp()"
		     " WHERE wake_at IS NOT NULL AND state <> 'unknown'");
		actions = ACTIONS;
		actor->busy = 1;
		actor->replica = &replicas[0];
		running++;
		store_claim_due(replicas[0].store, 10, on_row, on_rows, actor);
		while (running > 0)
			once();
		seen = ask("SELECT count(*) FROM ops.request WHERE wake_at IS NOT NULL AND state "
			   "<> 'unknown'");
	}
}

#define ENDS                                                                                       \
	"('request.succeeded', 'request.failed', 'request.denied', 'request.expired', "            \
	"'request.cancelled')"

static void test_races(void **state)
{
	const char *given = getenv("OPSD_TEST_SEED");
	int once_each = 0;

	(void)state;
	seed = given != NULL ? strtoull(given, NULL, 10) : 20261125;
	fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
	for (int i = 0; i < 2; i++)
		store_outbox_room(replicas[i].store, 0);
	offer_all();
	for (size_t i = 0; i < ACTORS; i++)
		next(&actors[i]);
	while (running > 0)
		once();
	finish_all();
	for (size_t i = 0; i < REQUESTS; i++) {
		assert_in_range(effects[i], 0, 1);
		once_each += effects[i];
		request_destroy(offers[i]);
	}
	assert_in_range(once_each, 10, REQUESTS); /* the dice did reach effects */
	expect_sql("SELECT count(*) FROM ops.request r WHERE state <> 'unknown' AND (SELECT "
		   "count(*) FROM ops.audit a"
		   " WHERE a.request_id = r.id AND a.event IN " ENDS ") <> 1",
		   "0");
	expect_sql("SELECT count(*) FROM ops.request r WHERE state = 'unknown' AND EXISTS (SELECT "
		   "FROM ops.audit a"
		   " WHERE a.request_id = r.id AND a.event IN " ENDS ")",
		   "0");
	/* nothing happened after the end, and no fence went down */
	expect_sql("SELECT count(*) FROM ops.audit e JOIN ops.audit l ON l.request_id = "
		   "e.request_id AND l.id > e.id"
		   " WHERE e.event IN " ENDS
		   " AND l.event NOT IN ('request.late_answer', 'confirm.denied')",
		   "0");
	expect_sql("SELECT count(*) FROM (SELECT (body::json ->> 'fence')::bigint f, "
		   "lag((body::json ->> 'fence')::bigint)"
		   " OVER (PARTITION BY request_id ORDER BY id) before FROM ops.audit WHERE event "
		   "LIKE 'request.%'"
		   " AND event <> 'request.late_answer') x WHERE f < before",
		   "0");
	expect_sql("SELECT count(*) FROM ops.request r WHERE (SELECT count(*) FROM ops.step s "
		   "WHERE s.request_id = r.id"
		   " AND s.state = 'applied') <> (state = 'succeeded' AND EXISTS (SELECT FROM "
		   "ops.step s WHERE s.request_id"
		   " = r.id))::int",
		   "0");
	expect_sql("SELECT count(*) FROM ops.step WHERE state = 'intent'", "0");
	/* each end is owed to the channel once */
	expect_sql("SELECT count(*) FROM ops.request r WHERE state <> 'unknown' AND (SELECT "
		   "count(*) FROM ops.message m"
		   " WHERE m.request_id = r.id AND m.kind = 'audit') <> 1",
		   "0");
	expect_sql("SELECT count(*) FROM ops.audit_rest", "0");
}

int main(void)
{
	const struct CMUnitTest tests[] = { STORE_TEST(test_races) };

	return world_main(tests, sizeof(tests) / sizeof(tests[0]));
}
