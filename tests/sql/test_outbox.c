/* SPDX-License-Identifier: Apache-2.0 */
/* outbox: claimed in order, marked in batches, given up with an audit entry; and the readers. */
#include "store_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/xalloc.h"
#include "store/audit.h"

#define A (&replicas[0])
#define B (&replicas[1])

struct value {
	int n;
	json_t *json;
	char msg[ERR_MSG_MAX];
};

static void on_value(void *data, const json_t *json, const struct err *err)
{
	struct value *value = data;

	value->n++;
	if (err != NULL)
		snprintf(value->msg, sizeof(value->msg), "%s", err->msg);
	else
		value->json = json_deep_copy(json);
}

static void wait_value(struct value *value)
{
	while (value->n == 0)
		once();
	assert_string_equal(value->msg, "");
}

/* A read that is over: an audit line and a reply, not claimed by anybody. */
static struct request *over(struct replica *replica)
{
	struct request *rq = make("datasets list", "ana", "{\"team\":\"ads\"}", NULL);
	struct end end = receive(replica, rq);

	expect_good(&end);
	store_outbox_room(replica->store, 0);
	end = settle(replica, rq, REQUEST_SUCCEEDED);
	expect_good(&end);
	return rq;
}

static struct end mark(struct replica *replica, struct owed_mark *marks, unsigned n)
{
	struct end end = { 0 };

	store_outbox_mark(replica->store, marks, n, on_end, &end);
	wait_end(&end);
	return end;
}

#define OWED "SELECT count(*) FROM ops.message WHERE due_at IS NOT NULL"

static void lease_ends(void)
{
	good("UPDATE ops.message SET due_at = clock_timestamp() WHERE due_at IS NOT NULL");
}

/* Of what was claimed, one of this kind. */
static int64_t id_of(const struct replica *replica, const char *kind)
{
	for (size_t i = 0; i < replica->n_owed; i++)
		if (str_eq(replica->owed[i]->kind, kind))
			return replica->owed[i]->id;
	fail_msg("no %s was claimed", kind);
	return 0;
}

static void test_order(void **state)
{
	struct request *first = over(A), *second = over(B);
	struct end end;

	(void)state;
	assert_int_equal(A->n_owed + B->n_owed, 0);
	end = outbox_claim_lanes(A, 2, 1, 1);
	expect_good(&end);
	assert_int_equal(A->n_owed, 3);
	assert_string_equal(A->owed[0]->kind, "reply"); /* people first */
	assert_string_equal(A->owed[0]->request, first->id);
	assert_string_equal(A->owed[0]->channel, "C1");
	assert_string_equal(A->owed[0]->user, "U-ana");
	assert_string_equal(A->owed[0]->response_url, "https://hooks.example/1");
	assert_int_equal(A->owed[0]->attempts, 0);
	assert_true(A->owed[0]->created_ms > 0);
	assert_string_equal(A->owed[1]->kind, "audit");
	assert_string_equal(A->owed[1]->request, first->id);
	assert_string_equal(A->owed[2]->kind, "audit");
	assert_string_equal(A->owed[2]->request, second->id);
	end = outbox_claim(B, 10); /* what A claimed is A's */
	expect_good(&end);
	assert_int_equal(B->n_owed, 1);
	assert_string_equal(B->owed[0]->request, second->id);
	/* A lane without room keeps its rows, and none from another lane. */
	good("UPDATE ops.message SET due_at = clock_timestamp(), claimed_by = NULL");
	good("INSERT INTO ops.message (request_id, kind, body, due_at)"
	     " SELECT 'R', 'audit', '{}', clock_timestamp() - interval '1 s' FROM "
	     "generate_series(1, 20)");
	owed_forget(A);
	end = outbox_claim_lanes(A, 0, 10, 0);
	expect_good(&end);
	assert_int_equal(A->n_owed, 2);
	expect_sql("SELECT count(*) FROM ops.message WHERE kind = 'audit' AND claimed_by IS NULL",
		   "22");
	request_destroy(first);
	request_destroy(second);
}

/* The lane of a kind is said here and there: the same. */
static void test_lanes(void **state)
{
	static const char *const kinds[] = { "audit", "reply",    "preview", "card",  "ask",
					     "doubt", "progress", "link",    "review" };

	(void)state;
	expect_sql("SELECT cardinality(enum_range(NULL::ops.owed_kind))", "9");
	for (size_t i = 0; i < 9; i++) {
		struct owed owed = { .kind = xstrdup(kinds[i]) };
		char *lane = xasprintf("%d", (int)owed_lane(&owed));
		char *sql = xasprintf("INSERT INTO ops.message (request_id, kind, body, due_at)"
				      " VALUES ('R-lane', '%s', '{}', clock_timestamp())"
				      " RETURNING lane",
				      kinds[i]);

		expect_sql(sql, lane);
		free(sql);
		free(lane);
		free(owed.kind);
	}
	good("DELETE FROM ops.message WHERE request_id = 'R-lane'");
}

static void test_marks(void **state)
{
	struct request *rq = over(A);
	struct owed_mark marks[2] = {
		{ .end = OWED_DELIVERED, .ts = "1700000000.000100" },
		{ .end = OWED_LATER, .later_ms = 60000, .error = "it said \"no\" \\" }
	};
	struct end end = outbox_claim(A, 10);

	(void)state;
	expect_good(&end);
	marks[0].id = id_of(A, "audit");
	marks[1].id = id_of(A, "reply");
	end = mark(B, &marks[1], 1); /* not the holder */
	expect_good(&end);
	expect_sql("SELECT count(*) FROM ops.message WHERE claimed_by IS NOT NULL", "2");
	end = mark(A, marks, 2);
	expect_good(&end);
	expect_sql("SELECT ts || (body IS NULL)::text || (due_at IS NULL)::text FROM ops.message "
		   "WHERE kind = 'audit'",
		   "1700000000.000100truetrue");
	expect_sql("SELECT last_error || (response_url IS NOT NULL)::text || (due_at > "
		   "clock_timestamp() + interval '50 s')"
		   " FROM ops.message WHERE kind = 'reply'",
		   "it said \"no\" \\truetrue");
	end = mark(A, marks, 2); /* a repeat is harmless */
	expect_good(&end);
	assert_false(marks[0].twin);
	(void)snprintf(marks[0].ts, sizeof(marks[0].ts), "1700000000.000200");
	end = mark(B, marks, 1); /* posted a second time: its holder is told */
	expect_good(&end);
	assert_true(marks[0].twin);
	expect_sql("SELECT ts FROM ops.message WHERE kind = 'audit'", "1700000000.000100");
	lease_ends();
	owed_forget(A);
	end = outbox_claim(B, 10);
	expect_good(&end);
	assert_int_equal(B->n_owed, 1);
	assert_int_equal(B->owed[0]->attempts, 1); /* it may be there: look first */
	/* A posted it after all, late: then it is delivered. */
	marks[1].end = OWED_DELIVERED;
	marks[1].error[0] = '\0';
	end = mark(A, &marks[1], 1);
	expect_good(&end);
	expect_sql(OWED, "0");
	expect_sql("SELECT count(*) FROM ops.message WHERE response_url IS NOT NULL", "0");
	request_destroy(rq);
}

static void test_poison(void **state)
{
	struct request *rq = over(A);
	struct owed_mark marks[2] = { { .end = OWED_DEAD, .error = "channel_not_found" },
				      { .end = OWED_LATER, .error = "timeout" } };
	struct end end;

	(void)state;
	good("UPDATE ops.message SET attempts = 19 WHERE kind = 'reply'");
	end = outbox_claim(A, 10);
	expect_good(&end);
	marks[0].id = id_of(A, "audit");
	marks[1].id = id_of(A, "reply");
	end = mark(A, marks, 2);
	expect_good(&end);
	expect_sql("SELECT count(*) FROM ops.message WHERE dead_at IS NOT NULL AND response_url IS "
		   "NULL"
		   " AND body IS NOT NULL",
		   "2");
	expect_sql(
		"SELECT string_agg(body::json #>> '{facts,error}', ' ' ORDER BY id) FROM ops.audit"
		" WHERE event = 'message.dead'",
		"channel_not_found timeout");
	request_destroy(rq);
}

static void test_room(void **state)
{
	struct request *rq = make("datasets list", "ana", "{\"team\":\"ads\"}", NULL);
	struct end end = receive(A, rq);

	(void)state;
	expect_good(&end);
	store_outbox_room(A->store, 1); /* two are written: only the reply is claimed */
	end = settle(A, rq, REQUEST_SUCCEEDED);
	expect_good(&end);
	assert_int_equal(A->n_owed, 1);
	assert_string_equal(A->owed[0]->kind, "reply");
	expect_sql(
		"SELECT string_agg(kind::text, ' ') FROM ops.message WHERE claimed_by IS NULL AND "
		"due_at <= clock_timestamp()",
		"audit");
	request_destroy(rq);
}

static struct end progress(struct replica *replica, struct request *rq, int n)
{
	json_t *facts = json_pack("{s:i}", "n", n);
	struct end end = { 0 };

	store_progress(replica->store, rq, facts, on_end, &end);
	json_decref(facts);
	wait_end(&end);
	return end;
}

static void sent(struct replica *replica, const char *ts)
{
	struct owed_mark one = { .id = replica->owed[0]->id,
				 .end = OWED_DELIVERED,
				 .channel = "D1" };
	struct end end;

	(void)snprintf(one.ts, sizeof(one.ts), "%s", ts);
	end = mark(replica, &one, 1);
	expect_good(&end);
	owed_forget(replica);
}

static void test_progress(void **state)
{
	struct request *rq = make("workers scale", "ana", "{\"team\":\"ads\",\"count\":1}", NULL);
	struct end end = receive(A, rq);

	(void)state;
	expect_good(&end);
	for (int n = 1; n <= 3; n++) { /* two are superseded before anybody could send them */
		end = progress(A, rq, n);
		expect_good(&end);
	}
	expect_sql("SELECT count(*) FROM ops.message WHERE kind = 'progress'", "1");
	end = outbox_claim(A, 10);
	expect_good(&end);
	assert_int_equal(A->n_owed, 1);
	assert_string_equal(A->owed[0]->kind, "progress");
	assert_string_equal(A->owed[0]->user, "U-ana");
	assert_null(A->owed[0]->ts);
	assert_int_equal(jget_int(A->owed[0]->body, "n", 0), 3);
	/* While that is on its way: nobody sends the next one beside it. */
	end = progress(A, rq, 4);
	expect_good(&end);
	end = outbox_claim(B, 10);
	expect_good(&end);
	assert_int_equal(B->n_owed, 0);
	sent(A, "7.1");
	end = outbox_claim(B, 10);
	expect_good(&end);
	assert_int_equal(B->n_owed, 1);
	assert_string_equal(B->owed[0]->ts, "7.1");
	assert_string_equal(B->owed[0]->channel, "D1");
	assert_int_equal(jget_int(B->owed[0]->body, "n", 0), 4);
	sent(B, "7.1");
	expect_sql(OWED, "0");
	/* Who lost the request says nothing about it any more. */
	good("UPDATE ops.request SET fence = fence + 1");
	end = progress(A, rq, 5);
	assert_int_equal(end.kind, ERR_DENIED);
	expect_sql(OWED, "0");
	request_destroy(rq);
}

/* Claims the one message that is owed; which n it tells. */
static int64_t claim_one(struct replica *replica)
{
	struct end end;

	owed_forget(replica);
	end = outbox_claim(replica, 10);
	expect_good(&end);
	assert_int_equal(replica->n_owed, 1);
	return jget_int(replica->owed[0]->body, "n", 0);
}

static void tell(struct replica *replica, struct request *rq, int n)
{
	struct end end = progress(replica, rq, n);

	expect_good(&end);
}

/* A request of which A holds the first progress. */
static struct request *progressing(void)
{
	struct request *rq = make("workers scale", "ana", "{\"team\":\"ads\",\"count\":1}", NULL);
	struct end end = receive(A, rq);

	expect_good(&end);
	tell(A, rq, 1);
	assert_int_equal(claim_one(A), 1);
	return rq;
}

/* A stands still past its lease and edits late: what it showed is not what is so. */
static void test_late_edit(void **state)
{
	struct request *rq = progressing();
	struct owed_mark late = { .end = OWED_LATER, .error = "no answer" };
	struct end end;

	(void)state;
	sent(A, "7.1");
	expect_sql(OWED, "0");
	tell(A, rq, 2);
	assert_int_equal(claim_one(A), 2);
	lease_ends();
	tell(B, rq, 3);
	assert_int_equal(claim_one(B), 3);
	sent(B, "7.1");
	expect_sql(OWED, "0");
	late.id = A->owed[0]->id;
	sent(A, "7.1"); /* over what B wrote */
	assert_int_equal(claim_one(B), 3);
	sent(B, "7.1");
	expect_sql(OWED, "0");
	end = mark(A, &late, 1); /* or its answer was lost: it may have been taken */
	expect_good(&end);
	assert_int_equal(claim_one(B), 3);
	/* While B is at it: B goes on, and it is drawn once more. */
	end = mark(A, &late, 1);
	expect_good(&end);
	end = outbox_claim(A, 10);
	expect_good(&end);
	assert_int_equal(A->n_owed, 0);
	sent(B, "7.1");
	assert_int_equal(claim_one(A), 3);
	sent(A, "7.1");
	expect_sql(OWED, "0");
	request_destroy(rq);
}

/* The same of the first post: there are two messages, and the one that stays may tell what was. */
static void test_late_first_post(void **state)
{
	struct request *rq = progressing();
	struct owed_mark twin = { .end = OWED_DELIVERED, .ts = "7.2", .channel = "D1" };
	struct end end;

	(void)state;
	lease_ends();
	tell(B, rq, 2);
	assert_int_equal(claim_one(B), 2);
	sent(A, "7.1");
	expect_sql(OWED, "1");
	twin.id = B->owed[0]->id;
	end = mark(B, &twin, 1);
	expect_good(&end);
	assert_true(twin.twin);
	assert_int_equal(claim_one(B), 2);
	assert_string_equal(B->owed[0]->ts, "7.1");
	sent(B, "7.1");
	expect_sql(OWED, "0");
	request_destroy(rq);
}

static void test_readers(void **state)
{
	struct request *rq = over(A),
		       *no = make("workers scale", "ana", "{\"team\":\"web\",\"count\":1}", NULL);
	json_t *filter = json_pack("{s:s}", "outcome", "denied");
	json_t *scope = json_pack("{s:s}", "team", "web");
	struct value value = { 0 };
	struct end end = receive(A, no);

	(void)state;
	expect_good(&end);
	store_audit_list(A->work, filter, 10, on_value, &value);
	wait_value(&value);
	assert_int_equal(json_array_size(value.json), 1);
	assert_string_equal(jget_str(json_array_get(value.json, 0), "request"), no->id);
	assert_string_equal(jget_str(json_array_get(value.json, 0), "facts.who.email"),
			    "ana@example.com");
	json_decref(value.json);

	value = (struct value){ 0 };
	json_object_clear(filter);
	json_object_set_new(filter, "person", json_string("ana@example.com"));
	store_audit_list(A->work, filter, 2, on_value, &value);
	wait_value(&value);
	assert_int_equal(json_array_size(value.json), 2); /* newest first */
	assert_string_equal(jget_str(json_array_get(value.json, 0), "event"), "request.denied");
	assert_string_equal(jget_str(json_array_get(value.json, 1), "event"), "request.succeeded");
	json_decref(value.json);

	value = (struct value){ 0 };
	store_explain(A->work, "ana@example.com", "workers.restart", scope, on_value, &value);
	wait_value(&value);
	assert_false(jget_bool(value.json, "allowed", true));
	assert_string_equal(jget_str(value.json, "code"), "no_matching_grant");
	assert_int_equal(jget_int(value.json, "detail.generation", 0), 7);
	assert_int_equal(json_array_size(jget(value.json, "grants")), 2);
	json_decref(value.json);

	value = (struct value){ 0 };
	store_may(A->work, "T1", "U-ana", on_value, &value);
	wait_value(&value);
	assert_int_equal(json_array_size(value.json), 4);
	assert_string_equal(json_string_value(json_array_get(value.json, 0)), "datasets.list");
	json_decref(value.json);
	value = (struct value){ 0 };
	store_may(A->work, "T1", "U-nobody", on_value, &value);
	wait_value(&value);
	assert_true(json_is_null(value.json));
	json_decref(value.json);

	value = (struct value){ 0 };
	store_health(A->work, on_value, &value);
	wait_value(&value);
	assert_int_equal(jget_int(value.json, "owed", 0), 3);
	assert_int_equal(jget_int(value.json, "replicas", 0), 2);
	assert_in_range(jget_int(value.json, "directory.age_s", 0), 1, 300);
	json_decref(value.json);
	json_decref(filter);
	json_decref(scope);
	request_destroy(rq);
	request_destroy(no);
}

/* Known people: whoever is seen for the first time gets a message about that. */
static int setup(void **state)
{
	if (store_setup(state) != 0)
		return -1;
	good("INSERT INTO ops.link (slack_team, slack_user, person_id, email_key, how) SELECT "
	     "'T1', "
	     "'U-' || split_part(email_key, '@', 1), person_id, email_key, 'email' FROM "
	     "dir.person_email WHERE is_primary");
	return 0;
}

#define OUTBOX_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, store_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		OUTBOX_TEST(test_order),
		OUTBOX_TEST(test_lanes),
		OUTBOX_TEST(test_marks),
		OUTBOX_TEST(test_poison),
		OUTBOX_TEST(test_room),
		OUTBOX_TEST(test_readers),
		OUTBOX_TEST(test_progress),
		OUTBOX_TEST(test_late_edit),
		OUTBOX_TEST(test_late_first_post),
	};

	return world_main(tests, sizeof(tests) / sizeof(tests[0]));
}
