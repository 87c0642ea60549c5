/* SPDX-License-Identifier: Apache-2.0 */
/* envelope: what each kind of frame says, what is missing, what is refused, what an ack looks like.
 */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "slack/envelope.h"

static struct envelope parsed(const char *text)
{
	struct envelope envelope;
	struct err err = { 0 };

	if (!envelope_parse(text, strlen(text), &envelope, &err))
		fail_msg("%s: %s", err.msg, text);
	return envelope;
}

/* An envelope around a payload. */
static struct envelope enveloped(const char *type, const char *payload)
{
	char *text = xasprintf("{\"envelope_id\":\"e-1\",\"type\":\"%s\","
			       "\"accepts_response_payload\":true,\"payload\":%s}",
			       type, payload);
	struct envelope envelope = parsed(text);

	free(text);
	assert_string_equal(envelope.id, "e-1");
	assert_true(envelope.accepts_payload);
	return envelope;
}

static void test_hello(void **state)
{
	struct envelope envelope;

	(void)state;
	envelope = parsed("{\"type\":\"hello\",\"num_connections\":2,\"connection_info\":"
			  "{\"app_id\":\"A1\"},\"debug_info\":{\"host\":\"applink-1\","
			  "\"build_number\":10,\"approximate_connection_time\":18060}}");
	assert_int_equal(envelope.kind, ENVELOPE_HELLO);
	assert_int_equal(envelope.num_connections, 2);
	assert_int_equal(envelope.lifetime_s, 18060);
	assert_null(envelope.id);
	envelope_finish(&envelope);
	envelope = parsed("{\"type\":\"hello\"}");
	assert_int_equal(envelope.num_connections, 0);
	assert_int_equal(envelope.lifetime_s, 0);
	envelope_finish(&envelope);
}

static void test_disconnect(void **state)
{
	static const struct {
		const char *text;
		enum disconnect_reason reason;
	} rows[] = {
		{ "{\"type\":\"disconnect\",\"reason\":\"warning\"}", DISCONNECT_WARNING },
		{ "{\"type\":\"disconnect\",\"reason\":\"refresh_requested\"}",
		  DISCONNECT_REFRESH },
		{ "{\"type\":\"disconnect\",\"reason\":\"link_disabled\"}", DISCONNECT_DISABLED },
		{ "{\"type\":\"disconnect\",\"reason\":\"too_many_websockets\"}",
		  DISCONNECT_TOO_MANY },
		{ "{\"type\":\"disconnect\",\"reason\":\"something new\"}", DISCONNECT_REFRESH },
		{ "{\"type\":\"disconnect\",\"reason\":null}", DISCONNECT_REFRESH },
		{ "{\"type\":\"disconnect\"}", DISCONNECT_REFRESH },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct envelope envelope = parsed(rows[i].text);

		assert_int_equal(envelope.kind, ENVELOPE_DISCONNECT);
		assert_int_equal(envelope.reason, rows[i].reason);
		assert_null(envelope.id);
		envelope_finish(&envelope);
	}
}

static void test_slash(void **state)
{
	struct envelope envelope = enveloped(
		"slash_commands",
		"{\"token\":\"x\",\"team_id\":\"T1\",\"team_domain\":\"d\",\"channel_id\":\"C1\","
		"\"channel_name\":\"ops\",\"user_id\":\"U1\",\"user_name\":\"ana\","
		"\"command\":\"\\/ops\",\"text\":\"scale \\u003cb\\u003e \\ud83d\\ude00\","
		"\"api_app_id\":\"A1\",\"is_enterprise_install\":\"false\","
		"\"response_url\":\"https:\\/\\/hooks.slack.com\\/commands\\/T1\\/1\\/x\","
		"\"trigger_id\":\"13.37.ab\"}");

	(void)state;
	assert_int_equal(envelope.kind, ENVELOPE_SLASH);
	assert_string_equal(envelope.team, "T1");
	assert_string_equal(envelope.user, "U1");
	assert_string_equal(envelope.channel, "C1");
	assert_string_equal(envelope.command, "/ops");
	assert_string_equal(envelope.text, "scale <b> \xf0\x9f\x98\x80");
	assert_string_equal(envelope.trigger_id, "13.37.ab");
	assert_string_equal(envelope.response_url, "https://hooks.slack.com/commands/T1/1/x");
	assert_string_equal(envelope.dedup, "slash:13.37.ab");
	assert_non_null(envelope.payload);
	envelope_finish(&envelope);
	assert_null(envelope.json);
}

static void test_slash_without_a_trigger(void **state)
{
	struct envelope envelope = enveloped(
		"slash_commands", "{\"user_id\":\"U1\",\"text\":\"\",\"channel_id\":\"\"}");

	(void)state;
	assert_string_equal(envelope.dedup, "envelope:e-1");
	assert_string_equal(envelope.text, "");
	assert_null(envelope.channel);
	assert_null(envelope.team);
	envelope_finish(&envelope);
}

static void test_click_on_a_message(void **state)
{
	struct envelope envelope = enveloped(
		"interactive",
		"{\"type\":\"block_actions\",\"user\":{\"id\":\"U1\",\"team_id\":\"T2\"},"
		"\"team\":{\"id\":\"T1\",\"domain\":\"d\"},\"enterprise\":null,"
		"\"trigger_id\":\"t\",\"response_url\":\"https://hooks.slack.com/actions/1\","
		"\"container\":{\"type\":\"message\",\"message_ts\":\"1.2\",\"channel_id\":\"C1\","
		"\"is_ephemeral\":true,\"attachment_id\":\"1\"},\"channel\":{\"id\":\"C1\"},"
		"\"state\":{\"values\":{\"b\":{\"a\":{\"type\":\"static_select\"}}}},"
		"\"actions\":[{\"type\":\"button\",\"action_id\":\"confirm\",\"block_id\":\"b9\","
		"\"value\":\"R1 x\",\"action_ts\":\"1548426417.840180\"}]}");

	(void)state;
	assert_int_equal(envelope.kind, ENVELOPE_ACTION);
	assert_string_equal(envelope.team, "T1");
	assert_string_equal(envelope.user, "U1");
	assert_string_equal(envelope.user_team, "T2");
	assert_string_equal(envelope.channel, "C1");
	assert_string_equal(envelope.message_ts, "1.2");
	assert_true(envelope.ephemeral);
	assert_string_equal(envelope.action_id, "confirm");
	assert_string_equal(envelope.block_id, "b9");
	assert_string_equal(envelope.value, "R1 x");
	assert_string_equal(envelope.action_ts, "1548426417.840180");
	assert_null(envelope.view_id);
	assert_non_null(jget(envelope.state, "b.a"));
	assert_string_equal(envelope.dedup, "action:U1:C1:1.2:confirm:1548426417.840180");
	envelope_finish(&envelope);
}

static void test_click_in_a_view(void **state)
{
	struct envelope envelope =
		enveloped("interactive",
			  "{\"type\":\"block_actions\",\"user\":{\"id\":\"U1\",\"team_id\":\"T2\"},"
			  "\"team\":null,\"container\":{\"type\":\"view\",\"view_id\":\"V1\"},"
			  "\"view\":{\"id\":\"V1\",\"hash\":\"h1\",\"callback_id\":\"command\","
			  "\"private_metadata\":\"m\",\"state\":{\"values\":{\"x\":{}}}},"
			  "\"actions\":[{\"type\":\"overflow\",\"action_id\":\"a\",\"value\":null,"
			  "\"selected_option\":{\"value\":\"two\"},\"action_ts\":\"3.4\"}]}");

	(void)state;
	assert_string_equal(envelope.team, "T2");
	assert_null(envelope.channel);
	assert_null(envelope.message_ts);
	assert_null(envelope.response_url);
	assert_string_equal(envelope.view_id, "V1");
	assert_string_equal(envelope.view_hash, "h1");
	assert_string_equal(envelope.callback_id, "command");
	assert_string_equal(envelope.private_metadata, "m");
	assert_string_equal(envelope.value, "two");
	assert_non_null(jget(envelope.state, "x"));
	assert_string_equal(envelope.dedup, "action:U1:V1:a:3.4");
	envelope_finish(&envelope);
}

static void test_chosen_values(void **state)
{
	static const char *const members[][2] = {
		{ "\"selected_user\":\"U7\"", "U7" },
		{ "\"selected_channel\":\"C7\"", "C7" },
		{ "\"selected_conversation\":\"G7\"", "G7" },
		{ "\"selected_date\":\"2026-11-25\"", "2026-11-25" },
		{ "\"selected_time\":\"03:10\"", "03:10" },
		{ "\"value\":\"\",\"selected_option\":null", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		char *payload =
			xasprintf("{\"type\":\"block_actions\",\"actions\":[{%s}]}", members[i][0]);
		struct envelope envelope = enveloped("interactive", payload);

		assert_string_equal(envelope.value, members[i][1]);
		assert_string_equal(envelope.dedup, "envelope:e-1");
		envelope_finish(&envelope);
		free(payload);
	}
}

static void test_views(void **state)
{
	struct envelope envelope = enveloped(
		"interactive",
		"{\"type\":\"view_submission\",\"user\":{\"id\":\"U1\",\"team_id\":\"T1\"},"
		"\"team\":{\"id\":\"T1\"},\"trigger_id\":\"t\",\"view\":{\"id\":\"V1\","
		"\"hash\":\"156.x\",\"callback_id\":\"command\",\"private_metadata\":\"{}\","
		"\"state\":{\"values\":{\"b\":{\"a\":{\"type\":\"plain_text_input\","
		"\"value\":\"x\"}}}}}}");

	(void)state;
	assert_int_equal(envelope.kind, ENVELOPE_SUBMIT);
	assert_string_equal(envelope.dedup, "view:V1:156.x");
	assert_string_equal(jget_str(envelope.state, "b.a.value"), "x");
	envelope_finish(&envelope);

	envelope = enveloped("interactive", "{\"type\":\"view_closed\",\"user\":{\"id\":\"U1\"},"
					    "\"view\":{\"id\":\"V1\",\"state\":{}},"
					    "\"is_cleared\":true}");
	assert_int_equal(envelope.kind, ENVELOPE_CLOSED);
	assert_string_equal(envelope.dedup, "envelope:e-1"); /* no hash */
	assert_null(envelope.state);
	assert_null(envelope.trigger_id);
	envelope_finish(&envelope);
}

static void test_suggestion(void **state)
{
	struct envelope envelope = enveloped(
		"interactive",
		"{\"type\":\"block_suggestion\",\"user\":{\"id\":\"U1\"},\"block_id\":\"b\","
		"\"action_id\":\"a\",\"value\":\"typ\",\"view\":{\"id\":\"V1\",\"hash\":\"h\"}}");

	(void)state;
	assert_int_equal(envelope.kind, ENVELOPE_SUGGEST);
	assert_string_equal(envelope.value, "typ");
	assert_string_equal(envelope.action_id, "a");
	assert_string_equal(envelope.block_id, "b");
	assert_string_equal(envelope.dedup, "envelope:e-1");
	envelope_finish(&envelope);
}

static void test_shortcuts(void **state)
{
	struct envelope envelope =
		enveloped("interactive",
			  "{\"type\":\"shortcut\",\"user\":{\"id\":\"U1\",\"team_id\":\"T1\"},"
			  "\"callback_id\":\"go\",\"trigger_id\":\"1.2\",\"action_ts\":\"5\"}");

	(void)state;
	assert_int_equal(envelope.kind, ENVELOPE_SHORTCUT);
	assert_string_equal(envelope.callback_id, "go");
	assert_string_equal(envelope.dedup, "shortcut:1.2");
	assert_null(envelope.channel);
	envelope_finish(&envelope);
	envelope =
		enveloped("interactive", "{\"type\":\"message_action\",\"message_ts\":\"9.9\","
					 "\"channel\":{\"id\":\"C1\"},\"user\":{\"id\":\"U1\"}}");
	assert_int_equal(envelope.kind, ENVELOPE_SHORTCUT);
	assert_string_equal(envelope.message_ts, "9.9");
	assert_string_equal(envelope.channel, "C1");
	envelope_finish(&envelope);
}

static void test_events(void **state)
{
	struct envelope envelope = parsed(
		"{\"envelope_id\":\"e\",\"type\":\"events_api\",\"accepts_response_payload\":false,"
		"\"retry_attempt\":2,\"retry_reason\":\"timeout\",\"payload\":{\"team_id\":\"T1\","
		"\"type\":\"event_callback\",\"event_id\":\"Ev1\",\"event\":{"
		"\"type\":\"app_home_opened\",\"user\":\"U1\",\"channel\":\"D1\","
		"\"tab\":\"home\"}}}");

	(void)state;
	assert_int_equal(envelope.kind, ENVELOPE_HOME_OPENED);
	assert_int_equal(envelope.retry, 2);
	assert_false(envelope.accepts_payload);
	assert_string_equal(envelope.user, "U1");
	assert_string_equal(envelope.team, "T1");
	assert_string_equal(envelope.dedup, "event:Ev1");
	assert_string_equal(jget_str(envelope.payload, "event.tab"), "home");
	envelope_finish(&envelope);

	envelope = enveloped("events_api", "{\"event_id\":\"Ev2\",\"event\":{\"type\":"
					   "\"user_change\",\"user\":{\"id\":\"U2\","
					   "\"team_id\":\"T2\"}}}");
	assert_int_equal(envelope.kind, ENVELOPE_USER_CHANGED);
	assert_string_equal(envelope.user, "U2");
	assert_string_equal(envelope.user_team, "T2");
	envelope_finish(&envelope);

	envelope = enveloped("events_api", "{\"type\":\"app_rate_limited\",\"team_id\":\"T1\"}");
	assert_int_equal(envelope.kind, ENVELOPE_EVENT); /* flat: no inner event */
	assert_null(envelope.user);
	assert_string_equal(envelope.dedup, "envelope:e-1");
	envelope_finish(&envelope);
}

static void test_odd_but_answerable(void **state)
{
	static const char *const rows[][2] = {
		{ "something_new", "{\"user\":{\"id\":\"U1\"}}" },
		{ "interactive", "{\"type\":\"interactive_message\",\"user\":{\"id\":\"U1\"}}" },
		{ "interactive", "[]" },
		{ "interactive", "\"text\"" },
		{ "interactive", "null" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct envelope envelope = enveloped(rows[i][0], rows[i][1]);

		assert_int_equal(envelope.kind, ENVELOPE_UNKNOWN);
		envelope_finish(&envelope);
	}
	envelope_finish(NULL);
}

static void test_wrong_types_everywhere(void **state)
{
	struct envelope envelope = parsed(
		"{\"envelope_id\":\"e\",\"type\":\"interactive\",\"retry_attempt\":\"one\","
		"\"accepts_response_payload\":\"true\",\"payload\":{\"type\":\"block_actions\","
		"\"user\":\"U1\",\"team\":7,\"channel\":[],\"container\":\"x\",\"actions\":{},"
		"\"trigger_id\":5,\"view\":[1],\"state\":null}}");

	(void)state;
	assert_int_equal(envelope.kind, ENVELOPE_ACTION);
	assert_true(envelope.accepts_payload);
	assert_int_equal(envelope.retry, 0);
	assert_null(envelope.user);
	assert_null(envelope.action_id);
	assert_null(envelope.trigger_id);
	assert_string_equal(envelope.dedup, "envelope:e");
	envelope_finish(&envelope);
}

static void test_refused(void **state)
{
	static const char *const rows[] = {
		"",
		"UNAUTHENTICATED: cache_error",
		"{",
		"[]",
		"null",
		"\"hello\"",
		"{}",
		"{\"type\":\"slash_commands\",\"payload\":{}}",
		"{\"type\":\"slash_commands\",\"envelope_id\":7}",
		"{\"type\":\"slash_commands\",\"envelope_id\":\"\"}",
		"{\"type\":\"hello\"} trailing",
		"{\"type\":\"hel\xff\"}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct envelope envelope;
		struct err err = { 0 };

		assert_false(envelope_parse(rows[i], strlen(rows[i]), &envelope, &err));
		assert_int_equal(err.kind, ERR_INVALID);
		assert_true(err.msg[0] != '\0');
	}
}

static void test_long_keys_stay_apart(void **state)
{
	char *first = xmalloc(601), *second, *payload;
	struct envelope one, two;

	(void)state;
	memset(first, 'x', 600);
	first[600] = '\0';
	second = xstrdup(first);
	second[599] = 'y';
	payload = xasprintf("{\"trigger_id\":\"%s\"}", first);
	one = enveloped("slash_commands", payload);
	free(payload);
	payload = xasprintf("{\"trigger_id\":\"%s\"}", second);
	two = enveloped("slash_commands", payload);
	free(payload);
	assert_true(str_starts(one.dedup, "slash:"));
	assert_int_equal(strlen(one.dedup), strlen("slash:") + 64);
	assert_string_not_equal(one.dedup, two.dedup);
	envelope_finish(&one);
	envelope_finish(&two);
	free(first);
	free(second);
}

static void test_acks(void **state)
{
	char *text = envelope_ack("e-1", NULL);

	(void)state;
	assert_string_equal(text, "{\"envelope_id\":\"e-1\"}");
	free(text);
	text = envelope_ack("a\"b", "{\"text\":\"x\"}");
	assert_string_equal(text, "{\"envelope_id\":\"a\\\"b\",\"payload\":{\"text\":\"x\"}}");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hello),
		cmocka_unit_test(test_disconnect),
		cmocka_unit_test(test_slash),
		cmocka_unit_test(test_slash_without_a_trigger),
		cmocka_unit_test(test_click_on_a_message),
		cmocka_unit_test(test_click_in_a_view),
		cmocka_unit_test(test_chosen_values),
		cmocka_unit_test(test_views),
		cmocka_unit_test(test_suggestion),
		cmocka_unit_test(test_shortcuts),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_odd_but_answerable),
		cmocka_unit_test(test_wrong_types_everywhere),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_long_keys_stay_apart),
		cmocka_unit_test(test_acks),
	};

	return cmocka_run_group_tests_name("envelope", tests, NULL, NULL);
}
