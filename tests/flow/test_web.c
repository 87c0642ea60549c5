/* SPDX-License-Identifier: Apache-2.0 */
/* web and web_errors: what is sent, what is held back, what is sent again, what each end means. */
#include "../unit/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../fakes/fake_http.h"
#include "base/clock.h"
#include "base/log.h"
#include "slack/web.h"

struct got {
	unsigned n;
	enum slack_class class;
	char error[64], value[64], scopes[64];
	int64_t retry_ms;
	struct err err;
};

struct ctx {
	uv_loop_t loop;
	struct http *http;
	struct slack_web *web;
	struct got got[8];
};

static int setup(void **state)
{
	static struct ctx ctx;
	const struct slack_web_config config = {
		.api_url = "https://slack.com/api/",
		.bot_token = "xoxb-secret",
		.hooks_prefix = "https://hooks.slack.com/",
	};

	ctx = (struct ctx){ 0 };
	*state = &ctx;
	log_set_level(LOG_ERROR);
	if (uv_loop_init(&ctx.loop) != 0)
		return -1;
	ctx.http = fake_http_create(&ctx.loop);
	ctx.web = slack_web_create(&ctx.loop, ctx.http, &config);
	return 0;
}

static int teardown(void **state)
{
	struct ctx *ctx = *state;

	slack_web_destroy(ctx->web);
	(void)uv_run(&ctx->loop, UV_RUN_DEFAULT);
	fake_http_destroy(ctx->http);
	clock_real();
	return uv_loop_close(&ctx->loop);
}

static void on_done(void *data, const struct slack_answer *answer, const struct err *err)
{
	struct got *got = data;

	got->n++;
	got->class = answer->class;
	got->retry_ms = answer->retry_ms;
	(void)snprintf(got->error, sizeof(got->error), "%s", answer->error);
	(void)snprintf(got->value, sizeof(got->value), "%s", jget_str_or(answer->json, "ts", ""));
	(void)snprintf(got->scopes, sizeof(got->scopes), "%s",
		       answer->scopes != NULL ? answer->scopes : "");
	assert_true((err == NULL) == (answer->class == SLACK_OK));
	if (err != NULL)
		got->err = *err;
}

static void turns(struct ctx *ctx)
{
	for (int i = 0; i < 4; i++)
		(void)uv_run(&ctx->loop, UV_RUN_NOWAIT);
}

static struct call *post(struct ctx *ctx, struct got *got, const char *channel)
{
	json_t *args =
		json_pack("{s:s, s:s, s:b}", "channel", channel, "text", "a&b", "unfurl_links", 0);

	return slack_web_call(ctx->web, "chat.postMessage", args, 0, on_done, got);
}

static void test_json_call(void **state)
{
	struct ctx *ctx = *state;
	const struct fake_request *request;

	assert_non_null(post(ctx, &ctx->got[0], "C1"));
	assert_int_equal(fake_http_count(ctx->http), 1);
	request = fake_http_request(ctx->http, 0);
	assert_string_equal(request->url, "https://slack.com/api/chat.postMessage");
	assert_string_equal(request->body,
			    "{\"channel\":\"C1\",\"text\":\"a&b\",\"unfurl_links\":false}");
	assert_string_equal(request->type, "application/json; charset=utf-8");
	assert_string_equal(request->bearer, "xoxb-secret");
	assert_int_equal(request->timeout_ms, 10000);
	assert_int_equal(request->connection, HTTP_RECENT);
	fake_http_answer(ctx->http, 0, 200, "{\"ok\":true,\"ts\":\"1.2\"}", -1);
	assert_int_equal(ctx->got[0].n, 0);
	turns(ctx);
	assert_int_equal(ctx->got[0].n, 1);
	assert_int_equal(ctx->got[0].class, SLACK_OK);
	assert_string_equal(ctx->got[0].value, "1.2");
	assert_string_equal(ctx->got[0].scopes, "chat:write,users:read");
	assert_string_equal(ctx->got[0].error, "");
}

/* users.info and its like do not take JSON. */
static void test_form_call(void **state)
{
	struct ctx *ctx = *state;
	json_t *args = json_pack("{s:s, s:i, s:b, s:n, s:[s]}", "user", "U 1&", "limit", 20,
				 "include_all_metadata", 1, "cursor", "types", "x");
	const struct fake_request *request;

	assert_non_null(
		slack_web_call(ctx->web, "conversations.history", args, 2500, on_done, ctx->got));
	request = fake_http_request(ctx->http, 0);
	assert_string_equal(request->body, "user=U%201%26&limit=20&include_all_metadata=true&"
					   "types=%5B%22x%22%5D");
	assert_string_equal(request->type, "application/x-www-form-urlencoded");
	assert_int_equal(request->timeout_ms, 2500);
	assert_int_equal(request->connection, HTTP_KEPT);
	fake_http_answer(ctx->http, 0, 200, "{\"ok\":true}", -1);
	turns(ctx);
	assert_int_equal(ctx->got[0].n, 1);
}

static void test_error_sentence(void **state)
{
	struct ctx *ctx = *state;

	assert_non_null(post(ctx, &ctx->got[0], "C1"));
	fake_http_answer(ctx->http, 0, 200, "{\"ok\":false,\"error\":\"not_in_channel\"}", -1);
	assert_non_null(post(ctx, &ctx->got[1], "C1"));
	fake_http_answer(ctx->http, 1, 200,
			 "{\"ok\":false,\"error\":\"missing_scope\",\"needed\":\"chat:write\"}",
			 -1);
	assert_non_null(post(ctx, &ctx->got[2], "C1"));
	fake_http_answer(ctx->http, 2, 200,
			 "{\"ok\":false,\"error\":\"invalid_blocks\",\"response_metadata\":"
			 "{\"messages\":[\"[ERROR] no [json-pointer:/blocks/0]\"]}}",
			 -1);
	turns(ctx);
	assert_int_equal(ctx->got[0].class, SLACK_REFUSED);
	assert_int_equal(ctx->got[0].err.kind, ERR_INVALID);
	assert_string_equal(ctx->got[0].err.msg,
			    "Slack's chat.postMessage (C1) answered not_in_channel: the bot is not "
			    "in the channel: invite it with /invite");
	assert_int_equal(ctx->got[1].class, SLACK_FATAL);
	assert_non_null(strstr(ctx->got[1].err.msg, "chat:write"));
	assert_int_equal(ctx->got[2].class, SLACK_REFUSED);
	assert_non_null(strstr(ctx->got[2].err.msg, "/blocks/0"));
}

/* After a 429 the method waits, in order; other methods go on. */
static void test_rate_limit(void **state)
{
	struct ctx *ctx = *state;

	clock_fake(1000000);
	assert_non_null(post(ctx, &ctx->got[0], "C1"));
	fake_http_answer(ctx->http, 0, 429, "{\"ok\":false,\"error\":\"ratelimited\"}", 30);
	turns(ctx);
	assert_int_equal(ctx->got[0].class, SLACK_RETRY);
	assert_int_equal(ctx->got[0].retry_ms, 30);
	assert_non_null(post(ctx, &ctx->got[1], "C2"));
	assert_non_null(post(ctx, &ctx->got[2], "C3"));
	assert_non_null(
		slack_web_call(ctx->web, "views.publish", json_object(), 0, on_done, &ctx->got[3]));
	assert_int_equal(fake_http_count(ctx->http), 2);
	fake_http_answer(ctx->http, 1, 200, "{\"ok\":true}", -1);
	clock_fake_advance(30);
	while (fake_http_count(ctx->http) < 4)
		(void)uv_run(&ctx->loop, UV_RUN_ONCE);
	assert_int_equal(ctx->got[3].n, 1);
	assert_non_null(strstr(fake_http_request(ctx->http, 2)->body, "C2"));
	assert_non_null(strstr(fake_http_request(ctx->http, 3)->body, "C3"));
	fake_http_answer(ctx->http, 2, 200, "{\"ok\":true}", -1);
	fake_http_answer(ctx->http, 3, 200, "{\"ok\":true}", -1);
	turns(ctx);
	assert_int_equal(ctx->got[2].n, 1);
}

/* Three at once, then one a second; other channels are not held up. */
static void test_pace(void **state)
{
	struct ctx *ctx = *state;

	clock_fake(1000000);
	for (int i = 0; i < 5; i++)
		assert_non_null(post(ctx, &ctx->got[i], "C1"));
	assert_int_equal(fake_http_count(ctx->http), 3);
	assert_int_equal(slack_web_channel_wait(ctx->web, "C1"), 1000);
	assert_int_equal(slack_web_channel_wait(ctx->web, "C2"), 0);
	assert_non_null(post(ctx, &ctx->got[5], "C2"));
	assert_int_equal(fake_http_count(ctx->http), 4);
	clock_fake_advance(999);
	assert_non_null(post(ctx, &ctx->got[6], "C3"));
	assert_int_equal(fake_http_count(ctx->http), 5);
	clock_fake_advance(1);
	assert_non_null(post(ctx, &ctx->got[7], "C3"));
	assert_int_equal(fake_http_count(ctx->http), 7); /* the fourth to C1 besides */
	assert_int_equal(slack_web_channel_wait(ctx->web, "C1"), 1000);
	clock_fake_advance(60000);
	assert_int_equal(slack_web_channel_wait(ctx->web, "C1"), 0);
}

/* A write is never sent again after an unclear end; a read is, once. */
static void test_unclear(void **state)
{
	struct ctx *ctx = *state;

	assert_non_null(post(ctx, &ctx->got[0], "C1"));
	fake_http_fail(ctx->http, 0, ERR_UNCERTAIN, "slack.com closed the connection");
	turns(ctx);
	assert_int_equal(fake_http_count(ctx->http), 1);
	assert_int_equal(ctx->got[0].class, SLACK_UNCERTAIN);
	assert_int_equal(ctx->got[0].err.kind, ERR_UNCERTAIN);
	assert_non_null(strstr(ctx->got[0].err.msg, "chat.postMessage"));
	assert_non_null(slack_web_call(ctx->web, "users.info", json_pack("{s:s}", "user", "U1"), 0,
				       on_done, &ctx->got[1]));
	fake_http_answer(ctx->http, 1, 503, "busy", -1);
	turns(ctx);
	assert_int_equal(ctx->got[1].n, 0);
	assert_int_equal(fake_http_count(ctx->http), 3);
	fake_http_answer(ctx->http, 2, 503, "busy", -1);
	turns(ctx);
	assert_int_equal(ctx->got[1].n, 1);
	assert_int_equal(ctx->got[1].class, SLACK_RETRY);
	assert_int_equal(fake_http_count(ctx->http), 3);
}

static void test_unreadable(void **state)
{
	static const char *const bodies[] = { "", "<html>", "[]", "{}", "{\"ok\":\"true\"}" };
	struct ctx *ctx = *state;

	for (size_t i = 0; i < 5; i++) {
		char channel[8];

		(void)snprintf(channel, sizeof(channel), "C%zu", i);
		assert_non_null(post(ctx, &ctx->got[i], channel));
		fake_http_answer(ctx->http, i, 200, bodies[i], -1);
		turns(ctx);
		assert_int_equal(ctx->got[i].class, SLACK_UNCERTAIN);
	}
}

static void test_not_sent(void **state)
{
	struct ctx *ctx = *state;

	assert_non_null(post(ctx, &ctx->got[0], "C1"));
	fake_http_fail(ctx->http, 0, ERR_RETRY, "slack.com: connection refused");
	assert_non_null(post(ctx, &ctx->got[1], "C1"));
	fake_http_fail(ctx->http, 1, ERR_TIMEOUT, "slack.com: no connection in time");
	turns(ctx);
	assert_int_equal(ctx->got[0].class, SLACK_RETRY);
	assert_int_equal(ctx->got[1].class, SLACK_RETRY);
	assert_true(ctx->got[0].retry_ms > 0);
}

static void respond(struct ctx *ctx, size_t i, const char *url)
{
	assert_non_null(slack_web_respond(ctx->web, url, json_pack("{s:s}", "text", "hi"), on_done,
					  &ctx->got[i]));
}

static void test_respond(void **state)
{
	struct ctx *ctx = *state;

	respond(ctx, 0, "https://hooks.slack.com/commands/T/1/x");
	assert_null(fake_http_request(ctx->http, 0)->bearer);
	assert_string_equal(fake_http_request(ctx->http, 0)->body, "{\"text\":\"hi\"}");
	fake_http_answer(ctx->http, 0, 200, "ok", -1);
	respond(ctx, 1, "https://hooks.slack.com/commands/T/1/x");
	fake_http_answer(ctx->http, 1, 404, "used_url", -1);
	respond(ctx, 2, "https://hooks.slack.com/commands/T/1/x");
	fake_http_answer(ctx->http, 2, 429, "slow", 2000);
	respond(ctx, 3, "https://hooks.slack.com/commands/T/1/x");
	fake_http_answer(ctx->http, 3, 500, "server_error", -1);
	turns(ctx);
	assert_int_equal(ctx->got[0].class, SLACK_OK);
	assert_int_equal(ctx->got[1].class, SLACK_REFUSED);
	assert_string_equal(ctx->got[1].error, "used_url");
	assert_int_equal(ctx->got[2].class, SLACK_RETRY);
	assert_int_equal(ctx->got[2].retry_ms, 2000);
	assert_int_equal(ctx->got[3].class, SLACK_UNCERTAIN);
	assert_null(strstr(ctx->got[1].err.msg, "hooks.slack.com")); /* the address is a secret */
}

static void test_respond_elsewhere(void **state)
{
	static const char *const urls[] = { "https://hooks.slack.com.evil.example/x",
					    "http://hooks.slack.com/x", "http://127.0.0.1:80/x", "",
					    NULL };
	struct ctx *ctx = *state;

	for (size_t i = 0; i < 5; i++) {
		respond(ctx, i, urls[i]);
		assert_int_equal(ctx->got[i].n, 0);
		turns(ctx);
		assert_int_equal(ctx->got[i].n, 1);
		assert_int_equal(ctx->got[i].class, SLACK_REFUSED);
	}
	assert_int_equal(fake_http_count(ctx->http), 0);
}

static void test_cancel(void **state)
{
	struct ctx *ctx = *state;
	struct call *sent, *waiting, *refused;

	clock_fake(1000);
	sent = post(ctx, &ctx->got[0], "C1");
	assert_non_null(post(ctx, &ctx->got[1], "C1"));
	assert_non_null(post(ctx, &ctx->got[2], "C1"));
	waiting = post(ctx, &ctx->got[3], "C1");
	refused = slack_web_respond(ctx->web, "nowhere", json_object(), on_done, &ctx->got[4]);
	call_cancel(&sent);
	call_cancel(&waiting);
	call_cancel(&refused);
	assert_false(fake_http_request(ctx->http, 0)->open);
	turns(ctx);
	assert_int_equal(ctx->got[0].n + ctx->got[3].n + ctx->got[4].n, 0);
	/* the others end silently with the web, in teardown */
}

/* Beyond the queue's ceiling a call fails at once, and says that nothing was sent. */
static void test_queue_ceiling(void **state)
{
	struct ctx *ctx = *state;

	clock_fake(1000);
	for (int i = 0; i < 1003; i++)
		assert_non_null(post(ctx, &ctx->got[0], "C1"));
	assert_non_null(post(ctx, &ctx->got[1], "C1"));
	turns(ctx);
	assert_int_equal(fake_http_count(ctx->http), 3);
	assert_int_equal(ctx->got[0].n, 0);
	assert_int_equal(ctx->got[1].n, 1);
	assert_int_equal(ctx->got[1].class, SLACK_RETRY);
}

static void destroy_web(void *data, const struct slack_answer *answer, const struct err *err)
{
	struct ctx *ctx = data;

	(void)answer;
	(void)err;
	slack_web_destroy(ctx->web);
	ctx->web = NULL;
}

static void test_destroy_in_done(void **state)
{
	struct ctx *ctx = *state;

	assert_non_null(slack_web_call(ctx->web, "auth.test", NULL, 0, destroy_web, ctx));
	assert_non_null(post(ctx, &ctx->got[0], "C1"));
	fake_http_answer(ctx->http, 0, 200, "{\"ok\":true}", -1);
	turns(ctx);
	assert_null(ctx->web);
	assert_int_equal(ctx->got[0].n, 0);
}

static void test_nobody_waits(void **state)
{
	struct ctx *ctx = *state;

	assert_non_null(slack_web_call(ctx->web, "views.open", json_object(), 2500, NULL, NULL));
	fake_http_answer(ctx->http, 0, 200, "{\"ok\":false,\"error\":\"expired_trigger_id\"}", -1);
	turns(ctx);
}

static void test_classes(void **state)
{
	static const struct {
		int status;
		const char *error;
		enum slack_class write, read;
	} cases[] = {
		{ 200, "", SLACK_OK, SLACK_OK },
		{ 200, "ratelimited", SLACK_RETRY, SLACK_RETRY },
		{ 200, "rate_limited", SLACK_RETRY, SLACK_RETRY },
		{ 429, "", SLACK_RETRY, SLACK_RETRY },
		{ 200, "fatal_error", SLACK_UNCERTAIN, SLACK_RETRY },
		{ 200, "internal_error", SLACK_UNCERTAIN, SLACK_RETRY },
		{ 500, "", SLACK_UNCERTAIN, SLACK_RETRY },
		{ 503, "service_unavailable", SLACK_RETRY, SLACK_RETRY },
		{ 200, "invalid_auth", SLACK_FATAL, SLACK_FATAL },
		{ 200, "account_inactive", SLACK_FATAL, SLACK_FATAL },
		{ 200, "missing_scope", SLACK_FATAL, SLACK_FATAL },
		{ 403, "", SLACK_FATAL, SLACK_FATAL },
		{ 200, "channel_not_found", SLACK_REFUSED, SLACK_REFUSED },
		{ 200, "some_new_code", SLACK_REFUSED, SLACK_REFUSED },
		{ 404, "used_url", SLACK_REFUSED, SLACK_REFUSED },
		{ 302, "", SLACK_REFUSED, SLACK_REFUSED },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(slack_web_classify(cases[i].status, cases[i].error, false),
				 cases[i].write);
		assert_int_equal(slack_web_classify(cases[i].status, cases[i].error, true),
				 cases[i].read);
	}
	assert_string_equal(slack_class_name(SLACK_UNCERTAIN), "uncertain");
}

#define WEB_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WEB_TEST(test_json_call),
		WEB_TEST(test_form_call),
		WEB_TEST(test_error_sentence),
		WEB_TEST(test_rate_limit),
		WEB_TEST(test_pace),
		WEB_TEST(test_unclear),
		WEB_TEST(test_unreadable),
		WEB_TEST(test_not_sent),
		WEB_TEST(test_respond),
		WEB_TEST(test_respond_elsewhere),
		WEB_TEST(test_cancel),
		WEB_TEST(test_queue_ceiling),
		WEB_TEST(test_destroy_in_done),
		WEB_TEST(test_nobody_waits),
		cmocka_unit_test(test_classes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
