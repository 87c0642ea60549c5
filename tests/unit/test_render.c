/* SPDX-License-Identifier: Apache-2.0 */
/* test_render.c - facts to messages: inert, within Slack's limits, and saying what happened. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "chat/render.h"
#include "chat/words.h"

static json_t *facts(const char *text)
{
	json_error_t error;
	json_t *value = json_loads(text, 0, &error);

	if (value == NULL)
		fail_msg("%s at %d", error.text, error.position);
	return value;
}

#define WHO "\"who\":{\"user\":\"U1\",\"email\":\"ana@example.com\"}"
#define CHANGE                                                                                     \
	"\"request\":\"R0\",\"command\":\"workers scale\",\"args\":{\"team\":\"ads\",\"count\":5," \
	"\"reason\":\"load\"},\"reason\":\"load\"," WHO ",\"target\":{\"cluster\":\"main\","       \
	"\"namespace\":\"ads\",\"kind\":\"Deployment\",\"name\":\"workers-dev\"},\"changes\":["    \
	"{\"field\":\"replicas\",\"from\":3,\"to\":5}]"

/* Every text object below a node, and that no mrkdwn is among them. */
static void check_texts(const json_t *node)
{
	const char *key, *type = jget_str(node, "type");
	size_t i;
	json_t *item;

	if (str_eq(type, "mrkdwn"))
		fail_msg("mrkdwn: %s", jget_str_or(node, "text", ""));
	if (str_eq(type, "plain_text")) {
		const char *text = jget_str_or(node, "text", "");

		assert_true(text[0] != '\0');
		assert_true(str_utf16_len(text) <= 3000);
	}
	if (json_is_object(node)) {
		json_object_foreach((json_t *)(uintptr_t)node, key, item) check_texts(item);
	} else {
		json_array_foreach(node, i, item) check_texts(item);
	}
}

static char *checked(json_t *message)
{
	char *text = json_text(message);

	assert_true(json_array_size(json_object_get(message, "blocks")) >= 1);
	assert_true(json_array_size(json_object_get(message, "blocks")) <= 50);
	assert_non_null(jget_str(message, "text"));
	check_texts(json_object_get(message, "blocks"));
	json_decref(message);
	return text;
}

static void test_done_says_what_and_where(void **state)
{
	json_t *given = facts("{" CHANGE ",\"outcome\":\"succeeded\"}");
	char *text = checked(render_reply(given));

	(void)state;
	assert_non_null(strstr(text, "replicas 3 → 5"));
	assert_non_null(strstr(text, "Deployment ads/workers-dev on main"));
	assert_non_null(strstr(text, "R0"));
	assert_non_null(strstr(text, "load"));
	free(text);
	json_decref(given);
}

static void test_nothing_to_do_is_not_done(void **state)
{
	json_t *given =
		facts("{\"request\":\"R0\",\"command\":\"workers scale\",\"changes\":[]," WHO
		      ",\"outcome\":\"succeeded\"}");
	char *text = checked(render_reply(given));

	(void)state;
	assert_non_null(strstr(text, "Nothing to do"));
	free(text);
	json_decref(given);
}

static void test_refusal_names_who_could(void **state)
{
	json_t *given = facts("{\"request\":\"R0\",\"command\":\"workers scale\"," WHO
			      ",\"outcome\":\"denied\",\"code\":\"no_matching_grant\",\"detail\":"
			      "{\"groups\":[\"team-ads-oncall\",\"data-platform\"]}}");
	char *text = checked(render_reply(given));

	(void)state;
	assert_non_null(strstr(text, "team-ads-oncall or data-platform"));
	free(text);
	json_decref(given);
}

static void test_refusal_says_whom_nobody_knows(void **state)
{
	static const char *const details[][2] = {
		{ "no_matching_grant\",\"detail\":{\"unread\":[\"web\"]}",
		  "The members of web are read at the next sync." },
		{ "members_unknown\",\"detail\":{\"unread\":[\"web\",\"ads\"]}",
		  "The members of web and ads are read at the next sync." },
		{ "members_unknown\",\"detail\":{\"closed\":[\"web\"]}",
		  "The members of web cannot be read at the moment" },
		{ "too_few_approvers\",\"detail\":{\"rule\":{\"need\":1,\"have\":0,\"group\":"
		  "\"web\","
		  "\"unread\":[\"web\"]}}",
		  "The members of web are read at the next sync." },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(details) / sizeof(details[0]); i++) {
		char *json = xasprintf("{\"request\":\"R0\",\"command\":\"workers scale\"," WHO
				       ",\"outcome\":\"denied\",\"code\":\"%s}",
				       details[i][0]);
		json_t *given = facts(json);
		char *text = checked(render_reply(given));

		assert_non_null(strstr(text, details[i][1]));
		free(text);
		json_decref(given);
		free(json);
	}
}

/* Also of what would be needed: nobody, as long as nobody knows who is in the group. */
static void test_why_says_whom_nobody_knows(void **state)
{
	json_t *given =
		facts("{\"allowed\":true,\"detail\":{\"grant\":\"k\"},\"approvals\":[{\"need\":1,"
		      "\"group\":\"web\",\"people\":[],\"unread\":[\"web\"]}]}");
	char *text = words_why(given, "workers scale");

	(void)state;
	assert_non_null(strstr(text, "by 1 of the group web; right now nobody. The members of web "
				     "are read at the next sync."));
	free(text);
	json_decref(given);
}

static void test_released_address_is_told(void **state)
{
	json_t *given =
		facts("{\"alarm\":\"address_released\",\"address\":\"ana@example.com\",\"by\":"
		      "\"dia\",\"new\":\"Ana Other\",\"new_id\":\"7\",\"was\":\"Ana\",\"reason\":"
		      "\"she left\"}");
	char *text = words_alarm(given);

	(void)state;
	assert_string_equal(text, "The address ana@example.com was released by dia: it is that of "
				  "Ana Other (7) now, and was that of Ana. Reason: she left");
	free(text);
	json_decref(given);
}

static void test_stranger_learns_nothing(void **state)
{
	json_t *given =
		facts("{\"request\":\"R0\",\"text\":\"workers scale\",\"who\":{\"user\":\"U9\"},"
		      "\"outcome\":\"denied\",\"code\":\"foreign\"}");
	char *text = checked(render_reply(given));

	(void)state;
	assert_null(strstr(text, "workers"));
	assert_non_null(strstr(text, "its own workspace"));
	free(text);
	json_decref(given);
}

static void test_preview_carries_its_digest(void **state)
{
	json_t *given =
		facts("{" CHANGE ",\"digest\":\"abc\",\"owners\":[{\"who\":\"Argo CD\",\"says\":"
		      "\"sets it back\"}],\"warnings\":[\"The deployment is paused.\"]}");
	json_t *message = render_preview(given);
	json_t *button = NULL;
	size_t i;
	json_t *block;
	char *text;

	(void)state;
	json_array_foreach(json_object_get(message, "blocks"), i,
			   block) if (str_eq(jget_str(block, "type"), "actions")) button =
		json_array_get(json_object_get(block, "elements"), 0);
	assert_string_equal(jget_str(button, "action_id"), "confirm");
	assert_string_equal(jget_str(button, "value"), "R0 abc");
	text = checked(message);
	assert_non_null(strstr(text, "Argo CD"));
	assert_non_null(strstr(text, "paused"));
	free(text);
	json_decref(given);
}

static void test_changed_preview_says_what_was(void **state)
{
	json_t *given =
		facts("{" CHANGE ",\"digest\":\"abc\",\"changed_since\":[{\"field\":\"replicas\","
		      "\"from\":2,\"to\":5}]}");
	char *text = checked(render_preview(given));

	(void)state;
	assert_non_null(strstr(text, "replicas 2 → 5"));
	assert_non_null(strstr(text, "replicas 3 → 5"));
	free(text);
	json_decref(given);
}

static void test_doubtful_preview_asks_run_or_forget(void **state)
{
	json_t *given = facts("{" CHANGE ",\"digest\":\"abc\",\"unheard\":true}");
	char *text = checked(render_preview(given));

	(void)state;
	assert_non_null(strstr(text, "you may have been told that nothing was recorded"));
	assert_non_null(strstr(text, "\"Run\""));
	assert_non_null(strstr(text, "\"Forget\""));
	assert_null(strstr(text, "Confirm"));
	free(text);
	json_decref(given);
}

static void test_read_is_a_table_with_a_next_page(void **state)
{
	json_t *given = facts("{\"request\":\"R0\",\"command\":\"datasets "
			      "list\",\"args\":{\"owner\":\"ads\"}," WHO
			      ",\"outcome\":\"succeeded\",\"answer\":{\"title\":\"Datasets\","
			      "\"columns\":[\"Name\",\"Rows\"],"
			      "\"rows\":[[\"clicks\",12],[null,\"x\"]],\"next\":\"c2\"}}");
	char *text = checked(render_reply(given));

	(void)state;
	assert_non_null(strstr(text, "clicks"));
	assert_non_null(strstr(text, "Next page"));
	assert_non_null(strstr(text, "c2"));
	free(text);
	json_decref(given);
}

static void test_outside_text_is_inert_and_cut(void **state)
{
	char *big = xmalloc(50001);
	json_t *given = facts("{" CHANGE ",\"outcome\":\"failed\"}");
	char *text;

	(void)state;
	memset(big, 'x', 50000);
	big[50000] = '\0';
	memcpy(big, "<!channel> <@U1> *bold* ", 24);
	json_object_set_new(given, "why", json_string(big));
	json_object_set_new(given, "reason", json_string(big));
	text = checked(render_reply(given));
	assert_true(strlen(text) < 60000);
	free(text);
	free(big);
	json_decref(given);
}

static void test_audit_lines(void **state)
{
	json_t *given = facts("{" CHANGE ",\"outcome\":\"succeeded\"}");
	const json_t *lines[RENDER_AUDIT_LINES];
	char *text;

	(void)state;
	for (size_t i = 0; i < RENDER_AUDIT_LINES; i++)
		lines[i] = given;
	text = checked(render_audit(lines, RENDER_AUDIT_LINES));
	assert_non_null(strstr(text, "ana@example.com"));
	assert_non_null(strstr(text, "replicas 3 → 5"));
	assert_non_null(strstr(text, "reason: load"));
	free(text);
	json_decref(given);
}

static void test_progress_says_how_far(void **state)
{
	json_t *given =
		facts("{" CHANGE ",\"progress\":{\"state\":\"stuck\",\"says\":\"rolling out\","
		      "\"have\":2,\"of\":5,\"why\":\"w-1: ImagePullBackOff\"}}");
	char *text = checked(render_progress(given));

	(void)state;
	assert_non_null(strstr(text, "Deployment ads/workers-dev on main"));
	assert_non_null(strstr(text, "Stuck: rolling out"));
	assert_non_null(strstr(text, "▓▓▓▓▓▓▓▓░░░░░░░░░░░░ 2 of 5"));
	assert_non_null(strstr(text, "w-1: ImagePullBackOff"));
	assert_non_null(strstr(text, "follows"));
	free(text);
	json_object_set_new(json_object_get(given, "progress"), "over", json_true());
	text = checked(render_progress(given));
	assert_null(strstr(text, "follows"));
	free(text);
	json_decref(given);
}

static void test_progress_of_what_is_complete(void **state)
{
	json_t *given = facts("{" CHANGE ",\"progress\":{\"state\":\"done\",\"says\":\"complete\","
			      "\"stays_s\":300}}");
	char *text = checked(render_progress(given));

	(void)state;
	assert_non_null(strstr(text, "watches for 5 minutes whether it stays"));
	assert_null(strstr(text, "░"));
	free(text);
	json_object_set_new(json_object_get(given, "progress"), "over", json_true());
	text = checked(render_progress(given));
	assert_non_null(strstr(text, "still so after 5 minutes"));
	free(text);
	json_decref(given);
}

#define FROZEN                                                                                     \
	"\"frozen\":[{\"id\":\"R9\",\"what\":{\"team\":\"ads\",\"cluster\":\"main\"},\"by\":"      \
	"\"Sam\","                                                                                 \
	"\"since_ms\":1795939200000,\"until_ms\":1795942800000,\"reason\":\"incident 7\"}]"

static void expect_says(const char *text, const char *const *parts)
{
	for (; *parts != NULL; parts++)
		if (strstr(text, *parts) == NULL)
			fail_msg("\"%s\" is not said in: %s", *parts, text);
}

static void test_a_freeze_says_who_and_what_to_do(void **state)
{
	static const char *const parts[] = {
		"team=ads cluster=main", "Sam", "2026-11-29", "incident 7", "ends at", NULL
	};
	json_t *given = facts(
		"{" CHANGE ",\"outcome\":\"denied\",\"code\":\"frozen\",\"detail\":{" FROZEN "}}");
	char *text = checked(render_reply(given));

	(void)state;
	expect_says(text, parts);
	expect_says(text, (const char *const[]){ "Nothing was done", "unfreeze", NULL });
	free(text);
	json_decref(given);
	given = facts("{" CHANGE ",\"digest\":\"d\"," FROZEN "}");
	text = checked(render_preview(given));
	expect_says(text, parts);
	free(text);
	json_decref(given);
}

#define HOLDER                                                                                     \
	"{\"request\":\"R7\",\"state\":\"%s\",\"name\":\"Ben\",\"command\":\"workers scale\","     \
	"\"reason\":\"backlog\",\"since_ms\":1795939200000}"

static void test_busy_says_who_holds_it(void **state)
{
	static const char *const states[] = { "running", "unknown" };
	static const char *const next[] = { "Ask again when that is over", "buttons" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		char *holder = xasprintf(HOLDER, states[i]);
		char *body = xasprintf("{" CHANGE ",\"outcome\":\"denied\",\"code\":\"busy\","
				       "\"detail\":{\"holder\":%s}}",
				       holder);
		json_t *given = facts(body);
		char *text = checked(render_reply(given));

		expect_says(text, (const char *const[]){ "Nothing was done", "R7", "Ben", "backlog",
							 "2026-11-29", next[i], NULL });
		free(text);
		json_decref(given);
		free(body);
		body = xasprintf("{" CHANGE ",\"progress\":{\"waits_for\":%s}}", holder);
		given = facts(body);
		text = checked(render_progress(given));
		expect_says(text, (const char *const[]){ "Waiting", "R7", "Yours starts", NULL });
		free(text);
		json_decref(given);
		free(body);
		free(holder);
	}
}

static void test_undone_already_says_by_whom(void **state)
{
	static const char *const says[][2] = {
		{ "succeeded", "R6 is undone already, by request R7 of Ben." },
		{ "unknown", "somebody has to say what came of request R7 of Ben." },
		{ "confirming", "R6 is about to be undone, by request R7 of Ben. Wait" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(says) / sizeof(says[0]); i++) {
		char *body = xasprintf("{" CHANGE ",\"outcome\":\"denied\",\"code\":"
				       "\"undone_already\",\"undoes\":\"R6\",\"detail\":{\"undo\":"
				       "{\"id\":\"R7\",\"name\":\"Ben\",\"state\":\"%s\"}}}",
				       says[i][0]);
		json_t *given = facts(body);
		char *text = checked(render_reply(given));

		expect_says(text, (const char *const[]){ says[i][1], NULL });
		free(text);
		json_decref(given);
		free(body);
	}
}

static void test_every_mark(void **state)
{
	static const char *const outcomes[] = { "succeeded", "failed",   "unknown",
						"denied",    "rejected", "expired",
						"cancelled", "frozen",   "unfrozen" };

	(void)state;
	for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++)
		assert_string_not_equal(words_mark(outcomes[i]), "•");
}

static void expect_directory(const char *text, const char *const *parts)
{
	json_t *node = facts(text);
	const json_t *const list[] = { node };
	char *message = checked(render_audit(list, 1));

	for (size_t i = 0; parts[i] != NULL; i++)
		if (strstr(message, parts[i]) == NULL)
			fail_msg("%s is not in %s", parts[i], message);
	free(message);
	json_decref(node);
}

static void test_directory_alarms(void **state)
{
	(void)state;
	expect_directory("{\"event\":\"directory.refused\",\"source\":\"company\",\"age_s\":11000,"
			 "\"notes\":{\"departures\":2},\"counts\":{\"losses\":[{\"group\":\"sre\","
			 "\"members\":4}]},\"brakes\":[{\"name\":\"people_lost\",\"detail\":"
			 "\"30 of 90 active people would no longer be active\"}]}",
			 (const char *const[]){
				 "stopped by a brake: 30 of 90 active people", "sre −4",
				 "Nothing was applied but 2 departures", "a copy that is 3 h old",
				 "opsd sync --plan company", "repair the source", NULL });
	expect_directory(
		"{\"event\":\"directory.failed\",\"source\":\"company\",\"error\":\"it answers "
		"403; <!here> a permission is missing\",\"age_s\":120}",
		(const char *const[]){ "failed, nothing was changed: it answers 403; <!here>",
				       "2 min old", NULL });
	expect_directory(
		"{\"event\":\"directory.held\",\"source\":\"company\",\"brakes\":[{\"name\":"
		"\"in_use_group_surge\",\"detail\":\"group sre had 2 members\"}]}",
		(const char *const[]){ "holds new members back: group sre had 2",
				       "All other changes were applied", NULL });
	expect_directory(
		"{\"event\":\"audit.checkpoint\",\"seal\":7,\"hash\":\"0f\",\"key\":\"aa\","
		"\"entries\":1}",
		(const char *const[]){ "🔏", "1 new entry, sealed by 7:0f:aa.", "opsd audit verify",
				       NULL });
	expect_directory("{\"event\":\"audit.checkpoint\",\"seal\":7,\"hash\":\"0f\",\"key\":null,"
			 "\"entries\":2}",
			 (const char *const[]){ "2 new entries, sealed by 7:0f. opsd", NULL });
	expect_directory("{\"event\":\"directory.clear\",\"source\":\"company\"}",
			 (const char *const[]){ "sync of company works again", NULL });
}

/* Nobody's help is cut because the catalog is large. */
static void test_help_of_many_commands(void **state)
{
	json_t *commands = json_array(), *message;
	char title[40], *text;

	(void)state;
	for (int i = 0; i < 120; i++) {
		(void)snprintf(title, sizeof(title), "thing%03d change", i);
		json_array_append_new(
			commands, json_pack("{s:s, s:s, s:s}", "title", title, "about",
					    "Change a thing so that it is another thing", "usage",
					    "thing change team= role= count= reason="));
	}
	message = render_help(commands, "Commands are checked when you run them.");
	text = json_dumps(json_object_get(message, "blocks"), 0);
	for (int i = 0; i < 120; i++) {
		(void)snprintf(title, sizeof(title), "thing%03d change", i);
		assert_non_null(strstr(text, title));
	}
	assert_null(strstr(text, "did not fit"));
	free(text);
	json_decref(message);
	json_decref(commands);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_help_of_many_commands),
		cmocka_unit_test(test_done_says_what_and_where),
		cmocka_unit_test(test_nothing_to_do_is_not_done),
		cmocka_unit_test(test_refusal_names_who_could),
		cmocka_unit_test(test_refusal_says_whom_nobody_knows),
		cmocka_unit_test(test_why_says_whom_nobody_knows),
		cmocka_unit_test(test_released_address_is_told),
		cmocka_unit_test(test_stranger_learns_nothing),
		cmocka_unit_test(test_preview_carries_its_digest),
		cmocka_unit_test(test_changed_preview_says_what_was),
		cmocka_unit_test(test_doubtful_preview_asks_run_or_forget),
		cmocka_unit_test(test_read_is_a_table_with_a_next_page),
		cmocka_unit_test(test_outside_text_is_inert_and_cut),
		cmocka_unit_test(test_audit_lines),
		cmocka_unit_test(test_progress_says_how_far),
		cmocka_unit_test(test_progress_of_what_is_complete),
		cmocka_unit_test(test_a_freeze_says_who_and_what_to_do),
		cmocka_unit_test(test_busy_says_who_holds_it),
		cmocka_unit_test(test_undone_already_says_by_whom),
		cmocka_unit_test(test_every_mark),
		cmocka_unit_test(test_directory_alarms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
