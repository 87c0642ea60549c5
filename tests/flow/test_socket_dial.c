/* SPDX-License-Identifier: Apache-2.0 */
/* socket: what follows on each kind of refusal and loss, and how soon. */
#include "socket_world.h"

#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

static void test_lost(void **state)
{
	struct world world;

	(void)state;
	world_open(&world, 1);
	world_run(&world, 1);
	world_let_in(&world, 0);
	world_run(&world, 31000);
	fake_ws_close(0, 0, 0, -1, "nothing was heard");
	assert_int_equal(fake_http_count(world.http), 2); /* it was stable: at once */
	assert_int_equal(world.ready, 0);
	assert_string_equal(world.err.msg, "nothing was heard");
	world_let_in(&world, 1);
	world_run(&world, 1000);
	fake_ws_close(1, 0, 1006, -1, "again");
	assert_int_equal(fake_http_count(world.http), 2); /* it was not */
	assert_in_range(world_wait_ask(&world, 2, 5000), 400, 1100);
	assert_int_equal(world_stats(&world)->lost, 2);
	world_close(&world);
}

/* hello alone does not reset the back-off: a socket that dies young is not dialled in a hurry. */
static void test_dying_young(void **state)
{
	struct world world;
	int64_t start;

	(void)state;
	world_open(&world, 1);
	world_run(&world, 1);
	start = fake_time_ms();
	for (size_t i = 0; i < 20; i++) {
		assert_true(world_wait_ask(&world, i, 70000) < 70000);
		world_let_in(&world, i);
		world_run(&world, 100);
		fake_ws_close(i, 0, 0, -1, "young");
	}
	assert_true(fake_time_ms() - start > 60000);
	world_wait_ask(&world, 20, 70000);
	world_let_in(&world, 20);
	world_run(&world, 31000);
	fake_ws_close(20, 0, 0, -1, "old");
	assert_int_equal(fake_http_count(world.http), 22);
	fake_http_answer(world.http, 21, 503, "", -1);
	assert_in_range(world_wait_ask(&world, 22, 70000), 400, 1100); /* as the first time */
	world_close(&world);
}

static void test_refreshed_over_and_over(void **state)
{
	int64_t start = fake_time_ms();
	struct world world;
	size_t i;

	(void)state;
	world_open(&world, 1);
	world_run(&world, 1);
	world_let_in(&world, 0);
	for (i = 1; fake_http_count(world.http) < 40; i++) {
		fake_ws_say(fake_ws_count() - 1, DISCONNECT("refresh_requested"));
		(void)world_wait_ask(&world, i, 70000);
		world_let_in(&world, i);
		assert_true(fake_ws_living() <= 4); /* the current one, and three that drain */
	}
	assert_true(fake_time_ms() - start > 60000);
	world_close(&world);
}

static void test_fatal(void **state)
{
	struct world world;

	(void)state;
	world_open(&world, 2);
	world_run(&world, 500);
	fake_http_answer(world.http, 0, 200, "{\"ok\":false,\"error\":\"token_revoked\"}", -1);
	fake_http_answer(world.http, 1, 200, "{\"ok\":false,\"error\":\"token_revoked\"}", -1);
	world_run(&world, 1);
	assert_true(world.fatal);
	assert_int_equal(world.ready, 0);
	assert_non_null(strstr(world.err.msg, "token_revoked"));
	world_run(&world, 299000);
	assert_int_equal(fake_http_count(world.http), 2);
	assert_true(world_wait_ask(&world, 3, 2000) < 2000); /* the probes */
	world_let_in(&world, 2);
	assert_false(world.fatal);
	assert_int_equal(world.ready, 1);
	fake_http_answer(world.http, 3, 200, "{\"ok\":false,\"error\":\"missing_scope\"}", -1);
	world_run(&world, 1);
	assert_true(world.fatal);
	assert_non_null(strstr(world.err.msg, "connections:write"));
	/* The other one is refreshed, so the reason is gone: no need to wait for the probe. */
	fake_ws_say(0, DISCONNECT("warning"));
	world_run(&world, 10);
	world_let_in(&world, 4);
	assert_false(world.fatal);
	world_run(&world, 10);
	assert_int_equal(fake_http_count(world.http), 6);
	world_close(&world);
}

static void test_link_disabled(void **state)
{
	struct world world;

	(void)state;
	world_open(&world, 1);
	world_run(&world, 1);
	world_let_in(&world, 0);
	fake_ws_say(0, DISCONNECT("link_disabled"));
	assert_int_equal(fake_ws_at(0)->life, FAKE_WS_ABANDONED);
	assert_true(world.fatal);
	assert_non_null(strstr(world.err.msg, "link_disabled"));
	world_run(&world, 290000);
	assert_int_equal(fake_http_count(world.http), 1);
	world_close(&world);
}

static void test_too_many(void **state)
{
	struct world world;

	(void)state;
	for (unsigned round = 0; round < 30; round++) {
		int64_t waited;

		world_open(&world, 1);
		world_run(&world, 1);
		world_let_in(&world, 0);
		world_run(&world, 60000);
		fake_ws_say(0, DISCONNECT("too_many_websockets"));
		assert_int_equal(fake_ws_at(0)->life, FAKE_WS_ABANDONED); /* closed first */
		waited = world_wait_ask(&world, 1, 400000);
		assert_in_range(waited, 10000, 20020);
		world_let_in(&world, 1);
		fake_ws_say(1, DISCONNECT("too_many_websockets"));
		waited = world_wait_ask(&world, 2, 400000);
		assert_in_range(waited, 10000, 40020);
		assert_false(world.fatal);
		world_close(&world);
	}
}

static void test_rate_limit_holds_all(void **state)
{
	struct world world;
	int64_t start;

	(void)state;
	world_open(&world, 2);
	world_run(&world, 10);
	start = fake_time_ms();
	fake_http_answer(world.http, 0, 429, "", 45000);
	world_run(&world, 1);
	world_run(&world, 44000);
	assert_int_equal(fake_http_count(world.http), 1); /* the second slot waits too */
	assert_true(world_wait_ask(&world, 2, 5000) < 5000);
	assert_in_range(fake_time_ms() - start, 45000, 47000);
	/* Without Retry-After: half a minute. */
	fake_http_answer(world.http, 1, 200, "{\"ok\":false,\"error\":\"ratelimited\"}", -1);
	fake_http_answer(world.http, 2, 200, "{\"ok\":false,\"error\":\"ratelimited\"}", -1);
	world_run(&world, 29900);
	assert_int_equal(fake_http_count(world.http), 3);
	assert_true(world_wait_ask(&world, 4, 5000) < 5000);
	world_close(&world);
}

static void test_transient(void **state)
{
	static const char *const bodies[] = { "{\"ok\":false,\"error\":\"internal_error\"}",
					      "<html>",
					      "{\"ok\":true}",
					      "{\"ok\":true,\"url\":7}",
					      "[]",
					      "" };
	struct world world;
	int64_t start = fake_time_ms(), last = 0;

	(void)state;
	world_open(&world, 1);
	for (size_t i = 0; i < 60; i++) {
		int64_t waited = world_wait_ask(&world, i, 70000);

		assert_in_range(waited, 0, 60100);
		last = waited > last ? waited : last;
		assert_false(world.fatal);
		if (i % 7 == 6)
			fake_http_fail(world.http, i, ERR_TIMEOUT, "no answer");
		else
			fake_http_answer(world.http, i, i % 2 ? 200 : 503, bodies[i % 6], -1);
		world_run(&world, 1);
		assert_int_equal(world.err.kind == ERR_NONE, 0);
	}
	/* It goes on for ever, by far under 50 a minute, and up to a minute apart. */
	assert_true(fake_time_ms() - start > 15 * 60000);
	assert_true(last > 30000);
	world_close(&world);
}

static void test_slow_class(void **state)
{
	struct world world;

	(void)state;
	world_open(&world, 1);
	world_run(&world, 1);
	fake_http_answer(world.http, 0, 200, "{\"ok\":false,\"error\":\"team_added_to_org\"}", -1);
	world_run(&world, 1);
	assert_false(world.fatal);
	assert_in_range(world_wait_ask(&world, 1, 100000), 29000, 61000);
	world_close(&world);
}

static void test_refused_upgrade(void **state)
{
	struct world world;
	int64_t waited;

	(void)state;
	world_open(&world, 2);
	world_run(&world, 500);
	world_give_ticket(&world, 0);
	fake_ws_close(0, 409, 0, -1, "HTTP 409");
	waited = world_wait_ask(&world, 2, 5000);
	assert_in_range(waited, 400, 1100);
	world_give_ticket(&world, 2); /* a new one */
	assert_string_not_equal(fake_ws_at(0)->url, fake_ws_at(1)->url);
	fake_ws_close(1, 503, 0, 20000, "HTTP 503");
	waited = world_wait_ask(&world, 3, 30000);
	assert_in_range(waited, 20000, 21100);
	assert_int_equal(world_stats(&world)->lost, 0);
	world_close(&world);
}

static void test_no_hello(void **state)
{
	struct world world;

	(void)state;
	world_open(&world, 1);
	world_run(&world, 1);
	world_give_ticket(&world, 0);
	fake_ws_open(0);
	world_run(&world, 9900);
	assert_int_equal(fake_ws_at(0)->life, FAKE_WS_OPEN);
	assert_int_equal(world.ready, 0);
	world_run(&world, 200);
	assert_int_equal(fake_ws_at(0)->life, FAKE_WS_ABANDONED);
	assert_true(world_wait_ask(&world, 1, 2000) < 2000);
	/* disconnect may come instead of hello */
	world_give_ticket(&world, 1);
	fake_ws_open(1);
	fake_ws_say(1, DISCONNECT("warning"));
	assert_int_equal(fake_ws_at(1)->life, FAKE_WS_ABANDONED);
	assert_true(world_wait_ask(&world, 2, 3000) < 3000);
	world_give_ticket(&world, 2);
	fake_ws_open(2);
	fake_ws_close(2, 0, 1011, -1, "closed");
	assert_true(world_wait_ask(&world, 3, 5000) < 5000);
	assert_int_equal(world_stats(&world)->opened, 0);
	world_close(&world);
}

static void test_classes(void **state)
{
	static const struct {
		const char *code;
		bool fatal;
		int64_t least_ms, most_ms;
	} rows[] = {
		{ "not_authed", true, 300000, 300100 },
		{ "invalid_auth", true, 300000, 300100 },
		{ "account_inactive", true, 300000, 300100 },
		{ "token_expired", true, 300000, 300100 },
		{ "user_removed_from_team", true, 300000, 300100 },
		{ "team_disabled", true, 300000, 300100 },
		{ "not_allowed_token_type", true, 300000, 300100 },
		{ "missing_args", true, 300000, 300100 },
		{ "no_permission", true, 300000, 300100 },
		{ "access_denied", true, 300000, 300100 },
		{ "forbidden_team", true, 300000, 300100 },
		{ "insecure_request", true, 300000, 300100 },
		{ "invalid_arg_name", true, 300000, 300100 },
		{ "org_login_required", false, 30000, 60100 },
		{ "accesslimited", false, 30000, 60100 },
		{ "ekm_access_denied", false, 30000, 60100 },
		{ "fatal_error", false, 500, 1100 },
		{ "service_unavailable", false, 500, 1100 },
		{ "request_timeout", false, 500, 1100 },
		{ "never_heard_of", false, 500, 1100 },
		{ NULL, true, 300000, 300100 }, /* HTTP 404 */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct world world;
		char *body = xasprintf("{\"ok\":false,\"error\":\"%s\"}", rows[i].code);
		int64_t waited;

		world_open(&world, 1);
		world_run(&world, 1);
		fake_http_answer(world.http, 0, rows[i].code != NULL ? 200 : 404, body, -1);
		world_run(&world, 1);
		assert_true(world.fatal == rows[i].fatal);
		waited = world_wait_ask(&world, 1, 400000);
		if (waited < rows[i].least_ms - 20 || waited > rows[i].most_ms)
			fail_msg("%s: after %d ms", rows[i].code, (int)waited);
		world_close(&world);
		free(body);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_dying_young),
		cmocka_unit_test(test_refreshed_over_and_over),
		cmocka_unit_test(test_fatal),
		cmocka_unit_test(test_link_disabled),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_rate_limit_holds_all),
		cmocka_unit_test(test_transient),
		cmocka_unit_test(test_slow_class),
		cmocka_unit_test(test_refused_upgrade),
		cmocka_unit_test(test_no_hello),
		cmocka_unit_test(test_classes),
	};

	return cmocka_run_group_tests_name("socket_dial", tests, NULL, NULL);
}
