/* SPDX-License-Identifier: Apache-2.0 */
/* core/progress: what one look means. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "core/progress.h"

static bool watched; /* of the looks that mark makes */

static json_t *mark(const char *since, int64_t age_ms, int64_t done_ms, const char *answer)
{
	json_t *was = json_loads(since, 0, NULL), *given = json_loads(answer, 0, NULL), *got;
	const struct progress_look look = { .id = "R1",
					    .fence = 7,
					    .since = was,
					    .age_ms = age_ms,
					    .done_ms = done_ms,
					    .stays_s = 300,
					    .watched = watched };

	assert_non_null(was);
	assert_non_null(given);
	got = progress_mark(&look, given, NULL);
	assert_string_equal(jget_str(got, "id"), "R1");
	assert_int_equal(jget_int(got, "fence", 0), 7);
	/* either it ends or it is looked at again */
	assert_true((json_object_get(got, "ended") == NULL) ==
		    (json_object_get(got, "again_ms") != NULL));
	json_decref(was);
	json_decref(given);
	return got;
}

#define OUTCOME "{\"done\":\"replicas 3 → 5\",\"evidence\":{\"generation\":4}}"
#define GOING                                                                                      \
	"{\"state\":\"going\",\"says\":\"1 of 5 updated\",\"have\":1,\"of\":5,\"keep\":{\"a\":1}}"
#define DONE "{\"state\":\"done\",\"says\":\"complete\"}"
#define TOLD "{\"told\":\"x\",\"evidence\":{\"generation\":4}}"

static void test_quick_is_not_told(void **state)
{
	json_t *got = mark(OUTCOME, 1000, -1, GOING);

	(void)state;
	assert_null(json_object_get(got, "tell"));
	assert_int_equal(jget_int(got, "again_ms", 0), 2000);
	assert_int_equal(jget_int(got, "since.keep.a", 0), 1);
	assert_int_equal(jget_int(got, "since.evidence.generation", 0), 4); /* for the audit log */
	json_decref(got);
	got = mark(OUTCOME, 1500, -1, DONE);
	assert_null(json_object_get(got, "tell"));
	assert_true(jget_bool(got, "done", false));
	assert_int_equal(jget_int(got, "again_ms", 0), 5000); /* does it stay? */
	json_decref(got);
}

static void test_told_once(void **state)
{
	json_t *first = mark(OUTCOME, 4000, -1, GOING), *again;
	char *since = json_text(json_object_get(first, "since"));

	(void)state;
	assert_string_equal(jget_str(first, "tell.state"), "going");
	assert_int_equal(jget_int(first, "tell.of", 0), 5);
	assert_false(jget_bool(first, "tell.over", true));
	again = mark(since, 6000, -1, GOING);
	assert_null(json_object_get(again, "tell"));
	json_decref(again);
	again = mark(since, 6000, -1, "{\"state\":\"going\",\"says\":\"2 of 5 updated\"}");
	assert_string_equal(jget_str(again, "tell.says"), "2 of 5 updated");
	json_decref(again);
	json_decref(first);
	free(since);
}

/* The next look at what goes on, when the one at age_ms found answer after since. */
static int64_t next_ms(char **since, int64_t age_ms, const char *answer)
{
	json_t *got = mark(*since, age_ms, -1, answer);
	int64_t ms = jget_int(got, "again_ms", 0);

	assert_null(jget(got, "since.watch")); /* not on record */
	free(*since);
	*since = json_text(json_object_get(got, "since"));
	json_decref(got);
	return ms;
}

/* What is watched is looked at when something is heard; without news less and less, since all that
 * is left to find is what no watch tells. */
static void test_watched(void **state)
{
	static const char two[] =
		"{\"state\":\"going\",\"says\":\"2 of 5 updated\",\"watch\":[{\"kind\":\"Pod\"}]}";
	json_t *outcome = json_loads(OUTCOME, 0, NULL);
	char *since = json_text(outcome);

	(void)state;
	watched = true;
	assert_int_equal(next_ms(&since, 1000, GOING), 2000); /* it is told once it takes long */
	assert_int_equal(next_ms(&since, 3000, GOING), 3000);
	assert_int_equal(next_ms(&since, 13000, GOING), 12000);
	assert_int_equal(next_ms(&since, 14000, two), 3000); /* a step */
	assert_int_equal(next_ms(&since, 24000, two), 10000);
	assert_int_equal(next_ms(&since, 94000, two), 30000);
	watched = false;
	assert_int_equal(next_ms(&since, 95000, two), 95000 / 30);
	json_decref(outcome);
	free(since);
}

/* What has a reason and does not move for two minutes is stuck; what only takes long is not. */
static void test_stuck_by_time(void **state)
{
	static const struct {
		const char *answer, *after;
	} rows[] = { { "{\"state\":\"going\",\"says\":\"s\",\"why\":\"probe\",\"cause\":\"ready\"}",
		       "stuck" },
		     { "{\"state\":\"going\",\"says\":\"s\",\"why\":\"ContainerCreating\"}",
		       "going" } };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		json_t *first = mark(OUTCOME, 10000, -1, rows[i].answer), *later;
		char *since = json_text(json_object_get(first, "since"));

		assert_string_equal(jget_str(first, "tell.state"), "going");
		later = mark(since, 129999, -1, rows[i].answer);
		assert_null(json_object_get(later, "tell"));
		json_decref(later);
		later = mark(since, 130000, -1, rows[i].answer);
		assert_string_equal(jget_str_or(later, "tell.state", "going"), rows[i].after);
		json_decref(later);
		json_decref(first);
		free(since);
	}
}

static void test_trouble_is_told_at_once(void **state)
{
	json_t *got =
		mark(OUTCOME, 500, -1, "{\"state\":\"stuck\",\"says\":\"s\",\"why\":\"quota\"}");

	(void)state;
	assert_string_equal(jget_str(got, "tell.why"), "quota");
	assert_null(json_object_get(got, "ended")); /* it may recover */
	json_decref(got);
}

static void test_stays(void **state)
{
	static const struct {
		int64_t done_ms, again_ms; /* again 0: over */
	} rows[] = { { -1, 5000 },    { 5000, 25000 }, { 5100, 24900 }, { 30000, 270000 },
		     { 299900, 100 }, { 300000, 0 },   { 400000, 0 } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *got = mark(TOLD, 10000, rows[i].done_ms, DONE);

		assert_int_equal(jget_int(got, "again_ms", 0), rows[i].again_ms);
		assert_true(jget_bool(got, "tell.over", false) == (rows[i].again_ms == 0));
		if (rows[i].again_ms == 0)
			assert_string_equal(jget_str(got, "ended"), "done");
		json_decref(got);
	}
}

static void test_ends(void **state)
{
	static const char *const states[] = { "failed", "superseded", "undone" };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		json_t *answer = json_pack("{s:s, s:s}", "state", states[i], "says", "why so"),
		       *got;
		char *text = json_text(answer);

		got = mark(TOLD, 10000, 1000, text);
		assert_string_equal(jget_str(got, "ended"), states[i]);
		assert_string_equal(jget_str(got, "says"), "why so");
		assert_true(jget_bool(got, "tell.over", false));
		json_decref(got);
		/* what nobody was told of is told only when it is bad */
		got = mark(OUTCOME, 1000, -1, text);
		assert_true((json_object_get(got, "tell") == NULL) ==
			    (strcmp(states[i], "superseded") == 0));
		json_decref(got);
		json_decref(answer);
		free(text);
	}
}

static void test_final(void **state)
{
	json_t *got = mark(
		OUTCOME, 500, -1,
		"{\"state\":\"done\",\"final\":true,\"says\":\"job complete\",\"text\":\"a\\nb\"}");

	(void)state;
	assert_string_equal(jget_str(got, "ended"), "done");
	assert_string_equal(jget_str(got, "tell.text"), "a\nb"); /* a result is always told */
	assert_null(json_object_get(json_object_get(got, "tell"), "stays_s"));
	json_decref(got);
}

static void test_silence(void **state)
{
	json_t *since = json_loads(TOLD, 0, NULL);
	int64_t last = 0;

	(void)state;
	for (int i = 1; i <= 8; i++) {
		const struct progress_look look = {
			.id = "R1", .since = since, .age_ms = 10000, .done_ms = -1, .stays_s = 300
		};
		struct err err;
		json_t *got;

		err_set(&err, ERR_RETRY, "no connection");
		got = progress_mark(&look, NULL, &err);
		assert_null(json_object_get(got, "ended"));
		assert_in_range(jget_int(got, "again_ms", 0), 1000, 30000);
		assert_true(jget_int(got, "again_ms", 0) >= last);
		last = jget_int(got, "again_ms", 0);
		/* told from the third on, once */
		assert_true((json_object_get(got, "tell") != NULL) == (i == 3));
		json_decref(since);
		since = json_incref(json_object_get(got, "since"));
		json_decref(got);
	}
	json_decref(since);
}

static void test_too_long(void **state)
{
	json_t *got = mark(TOLD, 7LL * 3600 * 1000, -1, GOING);

	(void)state;
	assert_string_equal(jget_str(got, "ended"), "left");
	assert_string_equal(jget_str(got, "tell.state"), "left");
	json_decref(got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quick_is_not_told),
		cmocka_unit_test(test_told_once),
		cmocka_unit_test(test_watched),
		cmocka_unit_test(test_stuck_by_time),
		cmocka_unit_test(test_trouble_is_told_at_once),
		cmocka_unit_test(test_stays),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_final),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
