/* SPDX-License-Identifier: Apache-2.0 */
/* test_sender.c - the outbox's sending half with a scripted Slack and a scripted store. */
#include "../unit/test.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "chat/sender.h"
#include "slack/web.h"

enum { CALLS_MAX = 200, MARKS_SEEN_MAX = 500 };

struct reply { /* what the scripted Slack answers, in order; the last one repeats */
	enum slack_class class;
	const char *error, *json;
	int64_t retry_ms;
};

static struct {
	uv_loop_t loop;
	const struct reply *replies;
	size_t n_replies, n_calls;
	char methods[CALLS_MAX][32];
	json_t *args[CALLS_MAX];
	struct owed_mark marks[MARKS_SEEN_MAX];
	size_t n_marks, mark_commits, mark_failures;
	unsigned room, claims, limits[OWED_LANES];
	int64_t wait_ms; /* what the channel makes wait, once */
	int64_t twin;    /* this message was posted by somebody else before */
	struct sender *sender;
	bool drained;
} st;

struct slack_call {
	struct reply reply;
	slack_done_fn done;
	void *data;
};

static void on_turn(void *data)
{
	struct slack_call *call = data;
	struct slack_call now = *call;
	json_t *json = now.reply.json != NULL ? json_loads(now.reply.json, 0, NULL)
					      : json_pack("{s:s}", "ts", "1.5");
	struct slack_answer answer = { .class = now.reply.class,
				       .error = now.reply.error != NULL ? now.reply.error : "",
				       .json = json,
				       .retry_ms = now.reply.retry_ms };
	struct err err;

	free(call);
	err_set(&err, ERR_RETRY, "scripted %s", answer.error);
	if (now.done != NULL)
		now.done(now.data, &answer, answer.class == SLACK_OK ? NULL : &err);
	json_decref(json);
}

static struct call *record(const char *method, json_t *args, slack_done_fn done, void *data)
{
	struct slack_call *call = xcalloc(1, sizeof(*call));
	size_t n = st.n_calls < st.n_replies ? st.n_calls : st.n_replies - 1;

	assert_true(st.n_calls < CALLS_MAX);
	(void)snprintf(st.methods[st.n_calls], sizeof(st.methods[0]), "%s", method);
	st.args[st.n_calls++] = args;
	*call = (struct slack_call){ .reply = st.replies[n], .done = done, .data = data };
	return call_defer(&st.loop, on_turn, call);
}

struct call *slack_web_call(struct slack_web *web, const char *method, json_t *args,
			    unsigned timeout_ms, slack_done_fn done, void *data)
{
	(void)web, (void)timeout_ms;
	return record(method, args, done, data);
}

struct call *slack_web_respond(struct slack_web *web, const char *response_url, json_t *message,
			       slack_done_fn done, void *data)
{
	(void)web, (void)response_url;
	return record("respond", message, done, data);
}

int64_t slack_web_channel_wait(const struct slack_web *web, const char *channel)
{
	int64_t wait = st.wait_ms;

	(void)web, (void)channel;
	st.wait_ms = 0;
	return wait;
}

static void port_room(void *ctx, unsigned room)
{
	(void)ctx;
	st.room = room;
}

static struct call *port_claim(void *ctx, const unsigned limits[OWED_LANES], call_done_fn done,
			       void *data)
{
	(void)ctx;
	st.claims++;
	memcpy(st.limits, limits, sizeof(st.limits));
	return call_later(&st.loop, NULL, done, data);
}

static struct call *port_mark(void *ctx, struct owed_mark *marks, unsigned n, call_done_fn done,
			      void *data)
{
	struct err err;

	(void)ctx;
	st.mark_commits++;
	if (st.mark_failures > 0) {
		st.mark_failures--;
		err_set(&err, ERR_RETRY, "database away");
		return call_later(&st.loop, &err, done, data);
	}
	for (unsigned i = 0; i < n; i++)
		marks[i].twin = marks[i].id == st.twin;
	assert_true(st.n_marks + n <= MARKS_SEEN_MAX);
	memcpy(st.marks + st.n_marks, marks, n * sizeof(*marks));
	st.n_marks += n;
	return call_later(&st.loop, NULL, done, data);
}

static const struct owed_port port = { .room = port_room, .claim = port_claim, .mark = port_mark };

static void forget(void);

static void begin(const struct reply *replies, size_t n)
{
	forget();
	st.replies = replies;
	st.n_replies = n;
	assert_int_equal(uv_loop_init(&st.loop), 0);
	st.sender = sender_create(&st.loop, NULL, &port);
}

static void on_drained(void *data)
{
	(void)data;
	st.drained = true;
	sender_destroy(st.sender);
}

/* Lets everything under way end, then closes; the loop must be empty. */
static void end(void)
{
	sender_drain(st.sender, on_drained, NULL);
	uv_run(&st.loop, UV_RUN_DEFAULT);
	assert_true(st.drained);
	assert_int_equal(uv_loop_close(&st.loop), 0);
}

/* What was sent stays readable until the next script begins. */
static void forget(void)
{
	for (size_t i = 0; i < st.n_calls; i++)
		json_decref(st.args[i]);
	memset(&st, 0, sizeof(st));
}

static struct owed *owed(int64_t id, const char *kind, int64_t attempts)
{
	struct owed *owed = xcalloc(1, sizeof(*owed));

	owed->id = id;
	owed->kind = xstrdup(kind);
	owed->request = xstrdup("R0000000000000000");
	owed->channel = xstrdup("C1");
	owed->user = xstrdup("U1");
	if (!str_eq(kind, "audit"))
		owed->response_url = xstrdup("https://hooks.slack.com/x");
	owed->attempts = attempts;
	owed->claimed_ms = clock_mono_ms();
	owed->body = json_pack("{s:s, s:s, s:s}", "request", "R0000000000000000", "command",
			       "workers scale", "outcome", "succeeded");
	return owed;
}

static const struct reply ok[] = { { .class = SLACK_OK } };

static void test_outcome_and_reply_share_a_commit(void **state)
{
	(void)state;
	begin(ok, 1);
	sender_add(st.sender, owed(1, "audit", 0));
	sender_add(st.sender, owed(2, "reply", 0));
	end();
	assert_int_equal(st.n_calls, 2);
	assert_string_equal(st.methods[0], "chat.postMessage");
	assert_string_equal(st.methods[1], "respond");
	assert_int_equal(json_integer_value(json_array_get(
				 jget(st.args[0], "metadata.event_payload.messages"), 0)),
			 1);
	assert_int_equal(st.n_marks, 2);
	assert_int_equal(st.mark_commits, 1);
	assert_int_equal(st.marks[0].end, OWED_DELIVERED);
	assert_string_equal(st.marks[0].ts, "1.5");
}

static void test_waiting_outcomes_share_a_message(void **state)
{
	(void)state;
	begin(ok, 1);
	for (int64_t i = 1; i <= 61; i++)
		sender_add(st.sender, owed(i, "audit", 0));
	end();
	/* One alone, then three of twenty. */
	assert_int_equal(st.n_calls, 4);
	assert_int_equal(json_array_size(jget(st.args[1], "metadata.event_payload.messages")), 20);
	assert_int_equal(st.n_marks, 61);
	for (size_t i = 0; i < 61; i++)
		assert_int_equal(st.marks[i].id, i + 1);
}

static void test_a_limit_delays(void **state)
{
	static const struct reply limited[] = {
		{ .class = SLACK_RETRY, .error = "ratelimited", .retry_ms = 30000 }
	};

	(void)state;
	begin(limited, 1);
	sender_add(st.sender, owed(1, "audit", 0));
	end();
	assert_int_equal(st.n_marks, 1);
	assert_int_equal(st.marks[0].end, OWED_LATER);
	assert_true(st.marks[0].later_ms >= 30000);
}

static void test_an_earlier_try_is_looked_for(void **state)
{
	static const struct reply there[] = {
		{ .class = SLACK_OK,
		  .json = "{\"messages\":[{\"ts\":\"7.0\",\"metadata\":{\"event_payload\":{"
			  "\"messages\":[9,1]}}}]}" },
	};
	static const struct reply absent[] = {
		{ .class = SLACK_OK, .json = "{\"messages\":[{\"ts\":\"7.0\"}]}" },
		{ .class = SLACK_OK },
	};
	static const struct reply away[] = { { .class = SLACK_RETRY } };

	(void)state;
	begin(there, 1);
	sender_add(st.sender, owed(1, "audit", 1));
	end();
	assert_int_equal(st.n_calls, 1);
	assert_string_equal(st.methods[0], "conversations.history");
	assert_string_equal(st.marks[0].ts, "7.0");

	begin(absent, 2);
	sender_add(st.sender, owed(1, "audit", 1));
	end();
	assert_int_equal(st.n_calls, 2);
	assert_string_equal(st.methods[1], "chat.postMessage");

	begin(away, 1); /* not known: neither posted nor given up */
	sender_add(st.sender, owed(1, "audit", 1));
	end();
	assert_int_equal(st.n_calls, 1);
	assert_int_equal(st.marks[0].end, OWED_LATER);
}

static void test_a_person_is_reached_another_way(void **state)
{
	static const struct reply closed[] = {
		{ .class = SLACK_REFUSED, .error = "used_url" },
		{ .class = SLACK_REFUSED, .error = "user_not_in_channel" },
		{ .class = SLACK_OK, .json = "{\"channel\":{\"id\":\"D9\"}}" },
		{ .class = SLACK_OK },
	};
	static const struct reply never[] = { { .class = SLACK_REFUSED,
						.error = "user_disabled" } };

	(void)state;
	begin(closed, 4);
	sender_add(st.sender, owed(1, "reply", 0));
	end();
	assert_int_equal(st.n_calls, 4);
	assert_string_equal(st.methods[0], "respond");
	assert_string_equal(st.methods[1], "chat.postEphemeral");
	assert_string_equal(st.methods[2], "conversations.open");
	assert_string_equal(st.methods[3], "chat.postMessage");
	assert_string_equal(jget_str(st.args[3], "channel"), "D9");
	assert_int_equal(st.marks[0].end, OWED_DELIVERED);

	begin(never, 1);
	sender_add(st.sender, owed(1, "reply", 0));
	end();
	assert_int_equal(st.marks[0].end, OWED_DEAD);
}

static void test_progress_is_one_message(void **state)
{
	static const struct reply first[] = {
		{ .class = SLACK_OK, .json = "{\"channel\":{\"id\":\"D9\"}}" },
		{ .class = SLACK_OK, .json = "{\"ts\":\"7.0\"}" },
	};
	static const struct reply deleted[] = { { .class = SLACK_REFUSED,
						  .error = "message_not_found" } };
	struct owed *again;

	(void)state;
	begin(first, 2);
	again = owed(1, "progress", 0);
	free(again->channel);
	again->channel = NULL;
	sender_add(st.sender, again);
	end();
	assert_int_equal(st.n_calls, 2);
	assert_string_equal(st.methods[0], "conversations.open");
	assert_string_equal(st.methods[1], "chat.postMessage");
	assert_string_equal(jget_str(st.args[1], "channel"), "D9");
	assert_int_equal(st.marks[0].end, OWED_DELIVERED);
	assert_string_equal(st.marks[0].channel, "D9");
	assert_string_equal(st.marks[0].ts, "7.0");

	for (int gone = 0; gone < 2; gone++) { /* a person who deleted it does not get it again */
		begin(gone ? deleted : ok, 1);
		again = owed(1, "progress", 0);
		again->ts = xstrdup("7.0");
		sender_add(st.sender, again);
		end();
		assert_int_equal(st.n_calls, 1);
		assert_string_equal(st.methods[0], "chat.update");
		assert_string_equal(jget_str(st.args[0], "ts"), "7.0");
		assert_int_equal(st.marks[0].end, OWED_DELIVERED);
	}
}

static void test_the_audit_channel_is_never_given_up(void **state)
{
	static const struct reply archived[] = { { .class = SLACK_REFUSED,
						   .error = "is_archived" } };

	(void)state;
	begin(archived, 1);
	sender_add(st.sender, owed(1, "audit", 0));
	end();
	assert_int_equal(st.marks[0].end, OWED_LATER);
	assert_true(strstr(st.marks[0].error, "is_archived") != NULL);
}

static void test_marks_wait_for_the_database(void **state)
{
	(void)state;
	begin(ok, 1);
	st.mark_failures = 1;
	sender_add(st.sender, owed(1, "audit", 0));
	end();
	assert_int_equal(st.mark_commits, 2);
	assert_int_equal(st.n_marks, 1);
}

static void test_a_lapsed_lease_is_not_trusted(void **state)
{
	static const struct reply slow[] = { { .class = SLACK_OK } };

	(void)state;
	clock_fake(1000000);
	begin(slow, 1);
	sender_add(st.sender, owed(1, "audit", 0)); /* at once */
	sender_add(st.sender, owed(2, "audit", 0)); /* waits behind it */
	clock_fake_advance(25 * 1000);
	end();
	clock_real();
	assert_int_equal(st.n_calls, 1);
	assert_int_equal(st.n_marks, 1);
}

/* The lease counts from the claim, not from when the message came to the sender. */
static void test_a_message_that_comes_late_is_not_posted(void **state)
{
	struct owed *late;

	(void)state;
	begin(ok, 1);
	late = owed(1, "audit", 0);
	late->claimed_ms -= 25 * 1000;
	sender_add(st.sender, late);
	end();
	assert_int_equal(st.n_calls, 0);
	assert_int_equal(st.n_marks, 0);
}

/* What waits for the channel waits here, so that its lease is looked at when it goes. */
static void test_the_pace_is_waited_for_here(void **state)
{
	(void)state;
	begin(ok, 1);
	st.wait_ms = 30;
	sender_add(st.sender, owed(1, "audit", 0));
	assert_int_equal(st.n_calls, 0);
	sender_drain(st.sender, on_drained, NULL);
	assert_false(st.drained);
	uv_run(&st.loop, UV_RUN_DEFAULT);
	assert_true(st.drained);
	assert_int_equal(uv_loop_close(&st.loop), 0);
	assert_int_equal(st.n_calls, 1);
	assert_int_equal(st.n_marks, 1);
}

static void test_a_late_twin_is_taken_back(void **state)
{
	(void)state;
	begin(ok, 1);
	st.twin = 1;
	sender_add(st.sender, owed(1, "audit", 0));
	end();
	assert_int_equal(st.n_calls, 2);
	assert_string_equal(st.methods[1], "chat.delete");
	assert_string_equal(jget_str(st.args[1], "ts"), "1.5");
	assert_string_equal(jget_str(st.args[1], "channel"), "C1");
}

static void test_room_shrinks(void **state)
{
	(void)state;
	begin(ok, 1);
	assert_int_equal(st.room, 60);
	for (int64_t i = 1; i <= 40; i++) /* the first is under way */
		sender_add(st.sender, owed(i, "audit", 0));
	assert_int_equal(st.room, 60);
	sender_add(st.sender, owed(41, "audit", 0));
	assert_int_equal(st.room,
			 1); /* of more than two messages of outcomes the channel gets no more */
	end();
	assert_int_equal(st.room, 0); /* stopping: nothing new is claimed for us */
}

/* ts: of the message that shows it already; NULL: none yet. */
static struct owed *card(const char *ts, const char *state, bool reposted)
{
	struct owed *card = owed(1, "card", ts != NULL ? 3 : 0);

	free(card->response_url);
	card->response_url = NULL;
	card->ts = xstrdup_null(ts);
	json_decref(card->body);
	card->body = json_pack("{s:s, s:s, s:s, s:s, s:{s:b}}", "request", "R0000000000000000",
			       "command", "workers scale", "state", state, "digest", "d",
			       "approval", "reposted", reposted);
	return card;
}

/* A long queue of the audit channel, or of cards to edit, keeps no reply waiting. */
static void test_a_slow_lane_delays_no_reply(void **state)
{
	size_t calls;

	(void)state;
	begin(ok, 1);
	for (int64_t i = 1; i <= 70; i++)
		sender_add(st.sender, owed(i, "audit", 0));
	for (int64_t i = 71; i <= 110; i++)
		sender_add(st.sender, card(NULL, "open", false));
	assert_int_equal(st.room, 1);
	calls = st.n_calls; /* none has been answered */
	sender_add(st.sender, owed(111, "reply", 0));
	assert_int_equal(st.n_calls, calls + 1);
	assert_string_equal(st.methods[calls], "respond");
	sender_wake(st.sender);
	while (st.claims == 0)
		uv_run(&st.loop, UV_RUN_ONCE);
	assert_int_equal(st.limits[OWED_AUDIT], 0);
	assert_int_equal(st.limits[OWED_REPLIES], 60);
	assert_int_equal(st.limits[OWED_CARDS], 0);
	end();
	assert_int_equal(st.n_marks, 111);
}

/* What was written while there was no room is claimed as soon as there is. */
static void test_room_again_is_used_at_once(void **state)
{
	(void)state;
	begin(ok, 1);
	for (int64_t i = 1; i <= 76; i++) /* 16 are under way */
		sender_add(st.sender, owed(i, "reply", 0));
	assert_int_equal(st.room, 0);
	for (int turn = 0; st.claims == 0; turn++) { /* far sooner than the next poll */
		assert_true(turn < 50);
		uv_run(&st.loop, UV_RUN_NOWAIT);
	}
	assert_true(st.limits[OWED_REPLIES] > 30);
	end();
	assert_int_equal(st.n_marks, 76);
}

static void test_card_is_posted_then_edited(void **state)
{
	(void)state;
	begin(ok, 1);
	sender_add(st.sender, card(NULL, "approving", false));
	end();
	assert_string_equal(st.methods[0], "chat.postMessage");
	assert_non_null(jget(st.args[0], "metadata"));
	assert_string_equal(st.marks[0].ts, "1.5");
	begin(ok, 1);
	sender_add(st.sender, card("7.0", "succeeded", false));
	end();
	assert_int_equal(st.n_calls, 1);
	assert_string_equal(st.methods[0], "chat.update");
	assert_string_equal(jget_str(st.args[0], "ts"), "7.0");
	assert_string_equal(jget_str(st.args[0], "channel"), "C1");
}

static void test_card_of_an_earlier_try_is_edited(void **state)
{
	static const struct reply there[] = {
		{ .class = SLACK_OK,
		  .json = "{\"messages\":[{\"ts\":\"7.0\",\"metadata\":{\"event_payload\":{"
			  "\"messages\":[1]}}}]}" },
		{ .class = SLACK_OK },
	};
	struct owed *first = card(NULL, "approving", false);

	(void)state;
	first->attempts = 1;
	begin(there, 2);
	sender_add(st.sender, first);
	end();
	assert_int_equal(st.n_calls, 2);
	assert_string_equal(st.methods[0], "conversations.history");
	assert_string_equal(st.methods[1], "chat.update"); /* it may show what was so then */
	assert_string_equal(jget_str(st.args[1], "ts"), "7.0");
}

static void test_deleted_card_is_posted_once_more(void **state)
{
	static const struct reply gone[] = {
		{ .class = SLACK_REFUSED, .error = "message_not_found" },
		{ .class = SLACK_OK },
	};

	(void)state;
	begin(gone, 2);
	sender_add(st.sender, card("7.0", "approving", false));
	end();
	assert_int_equal(st.n_calls, 2);
	assert_string_equal(st.methods[1], "chat.postMessage");
	assert_null(jget(st.args[1], "thread_ts"));
	assert_string_equal(st.marks[0].ts, "1.5");
	begin(gone, 2); /* and not a third time */
	sender_add(st.sender, card("7.0", "approving", true));
	end();
	assert_int_equal(st.n_calls, 1);
	assert_int_equal(st.marks[0].end, OWED_DELIVERED);
	begin(gone, 2); /* nobody needs one that is over */
	sender_add(st.sender, card("7.0", "expired", false));
	end();
	assert_int_equal(st.n_calls, 1);
	assert_int_equal(st.marks[0].end, OWED_DELIVERED);
}

static void test_note_goes_below_the_card(void **state)
{
	struct owed *note = card("7.0", "approving", false);

	(void)state;
	free(note->kind);
	note->kind = xstrdup("ask");
	note->attempts = 0;
	begin(ok, 1);
	sender_add(st.sender, note);
	end();
	assert_string_equal(st.methods[0], "chat.postMessage");
	assert_string_equal(jget_str(st.args[0], "thread_ts"), "7.0");
}

static void test_closed_approval_channel_is_waited_for(void **state)
{
	static const struct reply out[] = { { .class = SLACK_REFUSED, .error = "not_in_channel" } };

	(void)state;
	begin(out, 1);
	sender_add(st.sender, card(NULL, "approving", false));
	end();
	assert_int_equal(st.n_calls, 1);
	assert_int_equal(st.marks[0].end, OWED_LATER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outcome_and_reply_share_a_commit),
		cmocka_unit_test(test_waiting_outcomes_share_a_message),
		cmocka_unit_test(test_a_limit_delays),
		cmocka_unit_test(test_an_earlier_try_is_looked_for),
		cmocka_unit_test(test_a_person_is_reached_another_way),
		cmocka_unit_test(test_progress_is_one_message),
		cmocka_unit_test(test_the_audit_channel_is_never_given_up),
		cmocka_unit_test(test_marks_wait_for_the_database),
		cmocka_unit_test(test_a_lapsed_lease_is_not_trusted),
		cmocka_unit_test(test_a_message_that_comes_late_is_not_posted),
		cmocka_unit_test(test_the_pace_is_waited_for_here),
		cmocka_unit_test(test_a_late_twin_is_taken_back),
		cmocka_unit_test(test_room_shrinks),
		cmocka_unit_test(test_a_slow_lane_delays_no_reply),
		cmocka_unit_test(test_room_again_is_used_at_once),
		cmocka_unit_test(test_card_is_posted_then_edited),
		cmocka_unit_test(test_card_of_an_earlier_try_is_edited),
		cmocka_unit_test(test_deleted_card_is_posted_once_more),
		cmocka_unit_test(test_note_goes_below_the_card),
		cmocka_unit_test(test_closed_approval_channel_is_waited_for),
	};

	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	forget();
	return failed;
}
