/* SPDX-License-Identifier: Apache-2.0 */
/* test_card.c - what approvers see: whole, inert, and with buttons only while they count. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "chat/card.h"
#include "chat/render.h"
#include "chat/words.h"
#include "core/facts.h"
#include "core/request.h"

#define ROW                                                                                        \
	"\"request\":\"R0\",\"command\":\"workers scale\",\"reason\":\"<!channel> "                \
	"load\",\"digest\":"                                                                       \
	"\"d1\",\"who\":{\"user\":\"U0ANA\",\"email\":\"ana@example.com\",\"name\":\"Ana\"},"      \
	"\"target\":{\"cluster\":\"main\",\"namespace\":\"ads\",\"kind\":\"Deployment\",\"name\":" \
	"\"workers-prod\"},\"changes\":[{\"field\":\"replicas\",\"from\":6,\"to\":8}],"            \
	"\"warnings\":["                                                                           \
	"\"quota is near\"],\"owners\":[{\"who\":\"Argo CD\",\"says\":\"will change it back\"}]"
#define ASKED                                                                                      \
	"\"asked\":[{\"name\":\"Dia\",\"user\":\"U0DIA\"},{\"name\":\"Eve\"}],\"expires_ms\":"     \
	"1790000000000"
#define RULES                                                                                      \
	"\"rules\":[{\"need\":2,\"have\":1,\"can_approve\":\"workers.scale\"},{\"need\":1,"        \
	"\"have\":1,"                                                                              \
	"\"group\":\"sre\"}]"

static json_t *parsed(const char *text)
{
	json_error_t error;
	json_t *value = json_loads(text, 0, &error);

	if (value == NULL)
		fail_msg("%s at %d", error.text, error.position);
	return value;
}

static char *shown(json_t *message, const json_t *given)
{
	char *text = json_text(message);

	assert_true(json_array_size(json_object_get(message, "blocks")) <= 50);
	assert_null(strstr(text, "mrkdwn"));
	json_decref(message);
	json_decref((json_t *)(uintptr_t)given);
	return text;
}

static char *card(const char *text)
{
	json_t *given = parsed(text);

	return shown(render_card(given), given);
}

static void expect(const char *text, const char *const *parts)
{
	for (; *parts != NULL; parts++)
		if (strstr(text, *parts) == NULL)
			fail_msg("\"%s\" is not in %s", *parts, text);
}

static void test_open_card_says_all(void **state)
{
	static const char *const parts[] = {
		"Approval needed: workers scale",
		"\"user_id\":\"U0ANA\"",
		"ana@example.com",
		"Deployment ads/workers-prod on main",
		"replicas 6 → 8",
		"quota is near",
		"Argo CD: will change it back",
		"<!channel> load",
		"✅ ",
		"\"user_id\":\"U0SAM\"",
		"Still needed: 1 of those who can approve workers.scale.",
		"\"user_id\":\"U0DIA\"",
		"Eve",
		"\"timestamp\":1790000000",
		"\"value\":\"R0 d1\"",
		"\"action_id\":\"approve\"",
		"\"action_id\":\"deny\"",
		"\"action_id\":\"withdraw\"",
		NULL
	};
	char *text = card("{" ROW ",\"state\":\"approving\",\"approval\":{" RULES "," ASKED
			  ",\"votes\":[{\"user\":\"U0SAM\",\"decision\":\"approve\"}]}}");

	(void)state;
	expect(text, parts);
	assert_null(strstr(text, "of the group sre")); /* met */
	free(text);
}

static void test_card_that_is_over_has_no_buttons(void **state)
{
	static const char *const states[][2] = {
		{ "allowed", "Approved, about to start" }, { "running", "Approved, under way" },
		{ "succeeded", "Approved and done" },      { "failed", "Approved, but it failed" },
		{ "unknown", "not known whether" },        { "denied", "Not approved" },
		{ "expired", "Expired without" },          { "cancelled", "Cancelled" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		char *given = xasprintf("{" ROW ",\"state\":\"%s\",\"approval\":{" RULES "," ASKED
					",\"votes\":[{\"user\":\"U0SAM\",\"decision\":\"deny\","
					"\"reason\":\"not now\"}]}}",
					states[i][0]);
		char *text = card(given);

		if (strstr(text, states[i][1]) == NULL || strstr(text, "action_id") != NULL)
			fail_msg("%s: %s", states[i][0], text);
		assert_non_null(strstr(text, "not now"));
		free(text);
		free(given);
	}
}

static void test_changed_and_outdated(void **state)
{
	char *text = card("{" ROW ",\"state\":\"approving\",\"approval\":{" RULES "," ASKED
			  ",\"changed\":[{\"field\":\"replicas\",\"from\":5,\"to\":8}]}}");

	(void)state;
	assert_non_null(
		strstr(text, "Something changed since it was approved (it was: replicas 5 → 8)"));
	free(text);
	text = card("{" ROW ",\"state\":\"approving\",\"approval\":{" RULES "," ASKED
		    ",\"outdated\":true}}");
	assert_non_null(strstr(text, "Out of date: workers scale"));
	assert_null(strstr(text, "action_id"));
	assert_null(strstr(text, "replicas"));
	free(text);
}

static void test_requester_is_told_whom_it_waits_for(void **state)
{
	json_t *given = parsed("{" ROW ",\"outcome\":\"approving\",\"state\":\"approving\","
			       "\"approval\":{" RULES "," ASKED "}}");
	char *text = shown(render_reply(given), given);

	(void)state;
	assert_non_null(strstr(text, "Waiting for approval"));
	assert_non_null(strstr(text, "\"user_id\":\"U0DIA\""));
	assert_non_null(strstr(text, "\"action_id\":\"withdraw\""));
	free(text);
}

static void test_note_and_modal(void **state)
{
	json_t *given = parsed("{\"request\":\"R0\",\"command\":\"workers scale\"," ASKED "}");
	char *text = shown(render_ask(given), given);
	json_t *view = card_deny_view("R0 d1");

	(void)state;
	assert_non_null(strstr(text, "\"user_id\":\"U0DIA\""));
	assert_non_null(strstr(text, "still waits for approval"));
	free(text);
	assert_string_equal(jget_str(view, "callback_id"), "deny");
	assert_string_equal(jget_str(view, "private_metadata"), "R0 d1");
	json_decref(view);
	text = card_deny_errors("no");
	assert_string_equal(text,
			    "{\"response_action\":\"errors\",\"errors\":{\"reason\":\"no\"}}");
	free(text);
}

static void said(const char *code, const char *detail, const char *part)
{
	struct request rq = { .code = code, .detail = parsed(detail) };
	char *text = words_vote(&rq);

	assert_non_null(text);
	if (strstr(text, part) == NULL)
		fail_msg("%s: \"%s\" is not in \"%s\"", code, part, text);
	free(text);
	json_decref(rq.detail);
}

static void test_loser_is_told_the_truth(void **state)
{
	struct request counted = { .code = NULL };

	(void)state;
	assert_null(words_vote(&counted)); /* the card says it */
	said("too_late", "{\"state\":\"running\",\"by\":[\"Dia\",\"Eve\"]}",
	     "already approved by Dia and Eve.");
	said("too_late", "{\"state\":\"denied\",\"by\":[\"Dia\"]}", "already refused by Dia.");
	said("too_late", "{\"state\":\"expired\",\"at_ms\":1790000000000}",
	     "expired at 2026-09-21 14:13 UTC; nothing was done");
	said("too_late", "{\"state\":\"cancelled\"}", "cancelled");
	said("stale_card", "{}", "out of date");
	said("own_request", "{}", "somebody else");
	said("voted_already", "{\"decision\":\"deny\"}", "not approved");
	said("not_approver", "{\"asked\":[{\"name\":\"Dia\"},{\"name\":\"Eve\"}]}", "Dia, Eve.");
	said("guest", "{}", "Guest accounts");
}

static void test_refusals_of_approval(void **state)
{
	json_t *given =
		parsed("{\"code\":\"approver_denied\",\"detail\":{\"by\":\"Dia\",\"reason\":"
		       "\"not tonight\"}}");
	char *text = words_refusal(given);

	(void)state;
	assert_string_equal(text, "Dia did not approve this: not tonight");
	free(text);
	json_decref(given);
	given = parsed(
		"{\"code\":\"too_few_approvers\",\"detail\":{\"rule\":{\"need\":2,\"have\":1,"
		"\"group\":\"sre\"}}}");
	text = words_refusal(given);
	assert_non_null(strstr(text, "It takes 2 of the group sre; there are 1."));
	free(text);
	json_decref(given);
}

/* The start belongs to a third person: its button comes when the approvals are there. */
static void test_start_by_a_third(void **state)
{
	static const char form[] =
		"{" ROW ",\"state\":\"approving\",\"approval\":{\"rules\":[{\"need\":1,\"have\":%d,"
		"\"can_approve\":\"a.b\"},{\"need\":1,\"have\":%d,\"can_execute\":\"a.b\"}],"
		"\"votes\":[{\"user\":\"U0SAM\",\"decision\":\"execute\"}]," ASKED "}}";
	char *facts, *text;

	(void)state;
	for (int have = 0; have < 3; have++) {
		facts = xasprintf(form, have > 0, have > 1);
		text = card(facts);
		assert_non_null(strstr(text, "gives the start"));
		assert_true((strstr(text, "\"action_id\":\"execute\"") != NULL) == (have == 1));
		assert_true((strstr(text, "\"action_id\":\"approve\"") != NULL) == (have != 1));
		assert_true((strstr(text, "neither asked nor approved") != NULL) == (have < 2));
		free(text);
		free(facts);
	}
}

static void test_what_fits_a_card(void **state)
{
	json_t *warnings = json_array(),
	       *plan = json_pack("{s:[], s:o}", "changes", "warnings", warnings);

	(void)state;
	for (int i = 0; i < 10; i++)
		json_array_append_new(warnings, json_string("careful"));
	assert_true(facts_fit_card(plan));
	json_array_append_new(warnings, json_string("one more"));
	assert_false(facts_fit_card(plan));
	json_decref(plan);
}

#define DOUBT                                                                                      \
	ROW ",\"why\":\"No answer in time.\",\"doubt\":{\"began_ms\":1790000000000,\"evidence\":{" \
	    "\"resourceVersion\":\"77\"}},\"asked\":[{\"name\":\"Dia\",\"user\":\"U0DIA\"}]"

static void test_doubt_has_evidence_and_buttons(void **state)
{
	static const char *const buttons[] = { "\"happened\"", "\"not_happened\"", "\"again\"" };
	json_t *given = parsed("{" DOUBT ",\"state\":\"unknown\"}");
	char *text = shown(render_doubt(given), given);

	(void)state;
	for (size_t i = 0; i < 3; i++)
		assert_non_null(strstr(text, buttons[i]));
	assert_non_null(strstr(text, "\"confirm\""));
	assert_non_null(strstr(text, "No answer in time."));
	assert_non_null(strstr(text, "resourceVersion"));
	assert_non_null(strstr(text, "U0DIA"));
	assert_non_null(strstr(text, "R0 unknown"));
	free(text);
	given = parsed("{" DOUBT ",\"state\":\"succeeded\"}");
	text = shown(render_doubt(given), given);
	assert_non_null(strstr(text, "It happened"));
	for (size_t i = 0; i < 3; i++)
		assert_null(strstr(text, buttons[i]));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_doubt_has_evidence_and_buttons),
		cmocka_unit_test(test_open_card_says_all),
		cmocka_unit_test(test_card_that_is_over_has_no_buttons),
		cmocka_unit_test(test_changed_and_outdated),
		cmocka_unit_test(test_requester_is_told_whom_it_waits_for),
		cmocka_unit_test(test_note_and_modal),
		cmocka_unit_test(test_loser_is_told_the_truth),
		cmocka_unit_test(test_refusals_of_approval),
		cmocka_unit_test(test_start_by_a_third),
		cmocka_unit_test(test_what_fits_a_card),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
