/* SPDX-License-Identifier: Apache-2.0 */
/* people: the verdict on a user, one question at a time, what is remembered and for how long. */
#include "../unit/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../fakes/fake_http.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "slack/people.h"
#include "slack/web.h"

struct ctx {
	uv_loop_t loop;
	struct http *http;
	struct slack_web *web;
	struct slack_people *people;
	unsigned n, failed;
	struct slack_user user;
	struct call *other;
};

static int setup(void **state)
{
	static struct ctx ctx;
	const struct slack_web_config config = { .api_url = "https://slack.com/api/",
						 .bot_token = "xoxb-x" };

	ctx = (struct ctx){ 0 };
	*state = &ctx;
	if (uv_loop_init(&ctx.loop) != 0)
		return -1;
	ctx.http = fake_http_create(&ctx.loop);
	ctx.web = slack_web_create(&ctx.loop, ctx.http, &config);
	ctx.people = slack_people_create(&ctx.loop, ctx.web);
	slack_people_set_home(ctx.people, "T1", NULL);
	clock_fake(1000000);
	return 0;
}

static int teardown(void **state)
{
	struct ctx *ctx = *state;

	slack_people_destroy(ctx->people);
	slack_web_destroy(ctx->web);
	(void)uv_run(&ctx->loop, UV_RUN_DEFAULT);
	fake_http_destroy(ctx->http);
	clock_real();
	return uv_loop_close(&ctx->loop);
}

static const char good[] =
	"{\"ok\":true,\"user\":{\"id\":\"U1\",\"team_id\":\"T1\",\"name\":\"ann\",\"deleted\":"
	"false,"
	"\"is_bot\":false,\"is_email_confirmed\":true,\"tz\":\"Europe/Zurich\",\"tz_offset\":3600,"
	"\"profile\":{\"real_name\":\"Ann Lee\",\"email\":\"Ann@example.com\"}}}";

static void on_user(void *data, const struct slack_user *user, const struct err *err)
{
	struct ctx *ctx = data;

	ctx->n++;
	assert_true((user == NULL) == (err != NULL));
	if (user != NULL)
		ctx->user = *user;
	else
		ctx->failed++;
}

static void turns(struct ctx *ctx)
{
	for (int i = 0; i < 4; i++)
		(void)uv_run(&ctx->loop, UV_RUN_NOWAIT);
}

static struct call *fetch(struct ctx *ctx)
{
	struct call *call = slack_people_fetch(ctx->people, "U1", on_user, ctx);

	assert_non_null(call);
	return call;
}

static void test_fetch(void **state)
{
	struct ctx *ctx = *state;
	const struct slack_user *user;

	assert_null(slack_people_cached(ctx->people, "U1", 60000));
	fetch(ctx);
	fetch(ctx);
	assert_int_equal(fake_http_count(ctx->http), 1); /* the second joins the first */
	assert_string_equal(fake_http_request(ctx->http, 0)->body, "user=U1");
	fake_http_answer(ctx->http, 0, 200, good, -1);
	turns(ctx);
	assert_int_equal(ctx->n, 2);
	assert_int_equal(ctx->user.verdict, SLACK_USER_OK);
	assert_string_equal(ctx->user.id, "U1");
	assert_string_equal(ctx->user.team, "T1");
	assert_string_equal(ctx->user.email, "Ann@example.com");
	assert_string_equal(ctx->user.name, "Ann Lee");
	assert_string_equal(ctx->user.tz, "Europe/Zurich");
	assert_int_equal(ctx->user.tz_offset_s, 3600);
	user = slack_people_cached(ctx->people, "U1", 60000);
	assert_non_null(user);
	assert_string_equal(user->email, "Ann@example.com");
	assert_null(slack_people_cached(ctx->people, "U2", 60000));
	assert_null(slack_people_cached(ctx->people, NULL, 60000));
}

static void test_age(void **state)
{
	struct ctx *ctx = *state;

	fetch(ctx);
	fake_http_answer(ctx->http, 0, 200, good, -1);
	turns(ctx);
	clock_fake_advance(5000);
	assert_non_null(slack_people_cached(ctx->people, "U1", 5000));
	assert_null(slack_people_cached(ctx->people, "U1", 4999));
	clock_fake_advance(55000);
	assert_non_null(slack_people_cached(ctx->people, "U1", 3600000));
	clock_fake_advance(1);
	assert_null(
		slack_people_cached(ctx->people, "U1", 3600000)); /* never older than a minute */
	fetch(ctx);
	assert_int_equal(fake_http_count(ctx->http), 2);
	fake_http_answer(ctx->http, 1, 200, good, -1);
	turns(ctx);
	assert_non_null(slack_people_cached(ctx->people, "U1", 0));
}

static void test_failure(void **state)
{
	struct ctx *ctx = *state;

	fetch(ctx);
	fake_http_answer(ctx->http, 0, 200, "{\"ok\":false,\"error\":\"user_not_found\"}", -1);
	turns(ctx);
	assert_int_equal(ctx->failed, 1);
	assert_null(slack_people_cached(ctx->people, "U1", 60000));
}

/* What changes while it is asked for is told to those who wait, and not remembered. */
static void test_drop(void **state)
{
	struct ctx *ctx = *state;

	fetch(ctx);
	fake_http_answer(ctx->http, 0, 200, good, -1);
	turns(ctx);
	slack_people_drop(ctx->people, "U1");
	slack_people_drop(ctx->people, "U9");
	assert_null(slack_people_cached(ctx->people, "U1", 60000));
	fetch(ctx);
	slack_people_drop(ctx->people, "U1");
	fake_http_answer(ctx->http, 1, 200, good, -1);
	turns(ctx);
	assert_int_equal(ctx->n, 2);
	assert_null(slack_people_cached(ctx->people, "U1", 60000));
}

static void test_cancel(void **state)
{
	struct ctx *ctx = *state;
	struct call *call = fetch(ctx);

	fetch(ctx);
	call_cancel(&call);
	fake_http_answer(ctx->http, 0, 200, good, -1);
	turns(ctx);
	assert_int_equal(ctx->n, 1);
}

static void cancel_other(void *data, const struct slack_user *user, const struct err *err)
{
	struct ctx *ctx = data;

	(void)user;
	(void)err;
	call_cancel(&ctx->other);
	assert_non_null(slack_people_fetch(ctx->people, "U1", on_user, ctx));
}

/* A callback cancels one that waits beside it and asks anew. */
static void test_in_callback(void **state)
{
	struct ctx *ctx = *state;

	assert_non_null(slack_people_fetch(ctx->people, "U1", cancel_other, ctx));
	ctx->other = fetch(ctx);
	fake_http_answer(ctx->http, 0, 200, good, -1);
	turns(ctx);
	assert_int_equal(ctx->n, 0);
	assert_int_equal(fake_http_count(ctx->http), 2);
	fake_http_answer(ctx->http, 1, 200, good, -1);
	turns(ctx);
	assert_int_equal(ctx->n, 1);
}

static void destroy(void *data, const struct slack_user *user, const struct err *err)
{
	struct ctx *ctx = data;

	(void)user;
	(void)err;
	slack_people_destroy(ctx->people);
	ctx->people = NULL;
}

static void test_destroy_in_callback(void **state)
{
	struct ctx *ctx = *state;

	assert_non_null(slack_people_fetch(ctx->people, "U1", destroy, ctx));
	fetch(ctx);
	fake_http_answer(ctx->http, 0, 200, good, -1);
	turns(ctx);
	assert_null(ctx->people);
	assert_int_equal(ctx->n, 0);
}

/* At most 5000 are kept; the oldest go first, those asked for just now never. */
static void test_ceiling(void **state)
{
	struct ctx *ctx = *state;
	char id[16];

	fetch(ctx);
	for (int i = 0; i < 5999; i++) {
		(void)snprintf(id, sizeof(id), "V%d", i);
		assert_non_null(slack_people_fetch(ctx->people, id, on_user, ctx));
	}
	for (size_t i = 0; i < 6000; i++)
		fake_http_answer(ctx->http, i, 200, good, -1);
	turns(ctx);
	assert_int_equal(ctx->n, 6000);
	assert_non_null(slack_people_cached(ctx->people, "U1", 60000));
	assert_non_null(slack_people_fetch(ctx->people, "W1", on_user, ctx));
	assert_null(slack_people_cached(ctx->people, "U1", 60000));
	assert_null(slack_people_cached(ctx->people, "V998", 60000));
	assert_non_null(slack_people_cached(ctx->people, "V1500", 60000));
	assert_non_null(slack_people_cached(ctx->people, "V5998", 60000));
}

struct case_of {
	const char *json;
	enum slack_user_verdict verdict;
};

#define OK_REST "\"is_email_confirmed\":true,\"profile\":{\"email\":\"a@b.org\"}}"

static void test_verdicts(void **state)
{
	static const struct case_of cases[] = {
		{ "{\"id\":\"U1\",\"team_id\":\"T1\"," OK_REST, SLACK_USER_OK },
		{ "{\"id\":\"U1\",\"team_id\":\"T2\"," OK_REST, SLACK_USER_FOREIGN },
		{ "{\"id\":\"U1\"," OK_REST, SLACK_USER_FOREIGN },
		{ "{\"id\":\"U1\",\"team_id\":\"T1\",\"is_stranger\":true," OK_REST,
		  SLACK_USER_FOREIGN },
		{ "{\"id\":\"W1\",\"team_id\":\"T2\",\"enterprise_user\":{\"enterprise_id\":\"E1\","
		  "\"teams\":[\"T9\",\"T1\"]}," OK_REST,
		  SLACK_USER_OK },
		{ "{\"id\":\"W1\",\"team_id\":\"T2\",\"enterprise_user\":{\"enterprise_id\":\"E1\"}"
		  "," OK_REST,
		  SLACK_USER_OK },
		{ "{\"id\":\"W1\",\"team_id\":\"T2\",\"enterprise_user\":{\"enterprise_id\":\"E2\"}"
		  "," OK_REST,
		  SLACK_USER_FOREIGN },
		{ "{\"id\":\"U1\",\"team_id\":\"T1\",\"deleted\":true," OK_REST,
		  SLACK_USER_DELETED },
		{ "{\"id\":\"U1\",\"team_id\":\"T1\",\"is_bot\":true," OK_REST, SLACK_USER_BOT },
		{ "{\"id\":\"U1\",\"team_id\":\"T1\",\"is_workflow_bot\":true," OK_REST,
		  SLACK_USER_BOT },
		{ "{\"id\":\"USLACKBOT\",\"team_id\":\"T1\",\"is_bot\":false," OK_REST,
		  SLACK_USER_BOT },
		{ "{\"id\":\"U1\",\"team_id\":\"T1\",\"is_restricted\":true," OK_REST,
		  SLACK_USER_GUEST },
		{ "{\"id\":\"U1\",\"team_id\":\"T1\",\"is_ultra_restricted\":true," OK_REST,
		  SLACK_USER_GUEST },
		{ "{\"id\":\"U1\",\"team_id\":\"T1\",\"is_invited_user\":true," OK_REST,
		  SLACK_USER_INVITED },
		{ "{\"id\":\"U1\",\"team_id\":\"T1\",\"profile\":{\"email\":\"a@b.org\"}}",
		  SLACK_USER_UNCONFIRMED },
		{ "{\"id\":\"U1\",\"team_id\":\"T1\",\"is_email_confirmed\":true,\"profile\":{}}",
		  SLACK_USER_NO_EMAIL },
		{ "{}", SLACK_USER_FOREIGN },
		{ "[]", SLACK_USER_FOREIGN },
	};
	struct slack_user user;
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *json = json_parse(cases[i].json, strlen(cases[i].json), 10000, &err);

		assert_non_null(json);
		slack_user_read(json, "T1", "E1", &user);
		if (user.verdict != cases[i].verdict)
			fail_msg("%s: %s", cases[i].json, slack_user_verdict_name(user.verdict));
		json_decref(json);
	}
	slack_user_read(NULL, "T1", NULL, &user);
	assert_int_equal(user.verdict, SLACK_USER_FOREIGN);
	slack_user_read(NULL, NULL, NULL, &user);
	assert_int_equal(user.verdict, SLACK_USER_FOREIGN);
}

/* An address that is too long is none: half of it may be somebody else's. */
static void test_long_values(void **state)
{
	char email[400], name[400];
	struct slack_user user;
	json_t *json;

	(void)state;
	memset(email, 'a', sizeof(email) - 1);
	email[sizeof(email) - 1] = '\0';
	for (size_t i = 0; i + 2 < sizeof(name); i += 2)
		memcpy(name + i, "\xc3\xa9", 3);
	json = json_pack("{s:s, s:s, s:b, s:{s:s, s:s}}", "id", "U1", "team_id", "T1",
			 "is_email_confirmed", 1, "profile", "email", email, "real_name", name);
	slack_user_read(json, "T1", NULL, &user);
	assert_int_equal(user.verdict, SLACK_USER_NO_EMAIL);
	assert_string_equal(user.email, "");
	assert_true(str_utf8_valid(user.name, strlen(user.name)));
	assert_int_equal(strlen(user.name), 126);
	json_decref(json);
}

#define PEOPLE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PEOPLE_TEST(test_fetch),
		PEOPLE_TEST(test_age),
		PEOPLE_TEST(test_failure),
		PEOPLE_TEST(test_drop),
		PEOPLE_TEST(test_cancel),
		PEOPLE_TEST(test_in_callback),
		PEOPLE_TEST(test_destroy_in_callback),
		PEOPLE_TEST(test_ceiling),
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_long_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
