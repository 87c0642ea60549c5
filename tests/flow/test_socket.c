/* SPDX-License-Identifier: Apache-2.0 */
/* socket: envelopes, acks, refreshes, and stopping; http and ws are fakes. */
#include "socket_world.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/xalloc.h"

static void test_two_steady_ones(void **state)
{
	const struct fake_request *request;
	struct world world;

	(void)state;
	world_open(&world, 2);
	world_run(&world, 10);
	assert_int_equal(fake_http_count(world.http), 1);
	world_run(&world, 500); /* not at the same moment */
	assert_int_equal(fake_http_count(world.http), 2);
	request = fake_http_request(world.http, 0);
	assert_string_equal(request->url, "https://slack.example/api/apps.connections.open");
	assert_string_equal(request->bearer, "xapp-of-test");
	assert_string_equal(request->body, "");
	assert_int_equal(world_let_in(&world, 0), 0);
	assert_string_equal(fake_ws_at(0)->url, "wss://wss.slack.example/link/?ticket=0&app_id=A1");
	assert_int_equal(world.ready, 1);
	world_let_in(&world, 1);
	assert_int_equal(world.ready, 2);
	assert_int_equal(world.err.kind, ERR_NONE);
	assert_int_equal(world_stats(&world)->opened, 2);
	assert_int_equal(world_stats(&world)->num_connections, 2);
	world_run(&world, 3600 * 1000);
	assert_int_equal(fake_http_count(world.http), 2);
	assert_int_equal(world_stats(&world)->deaf_ms, 0);
	world_close(&world);
}

static void test_acks(void **state)
{
	struct world world;
	char *large = xmalloc(SLACK_ACK_MAX + 1);

	(void)state;
	world_open(&world, 2);
	world_run(&world, 500);
	world_let_in(&world, 0);
	world_let_in(&world, 1);
	fake_ws_say(1, SLASH);
	assert_int_equal(world.envelopes, 1);
	assert_true(slack_socket_ack(world.socket, world.via, "e-1", "{\"text\":\"x\"}"));
	assert_int_equal(fake_ws_at(0)->n_sent, 0);
	assert_string_equal(fake_ws_at(1)->sent[0],
			    "{\"envelope_id\":\"e-1\",\"payload\":{\"text\":\"x\"}}");
	/* A frame that Slack would close for: empty instead, and the caller is told. */
	memset(large, 'x', SLACK_ACK_MAX);
	large[0] = large[SLACK_ACK_MAX - 1] = '"';
	large[SLACK_ACK_MAX] = '\0';
	assert_false(slack_socket_ack(world.socket, world.via, "e-2", large));
	assert_string_equal(fake_ws_at(1)->sent[1], "{\"envelope_id\":\"e-2\"}");
	/* Its socket takes no more, then is gone: the other one, once. */
	fake_ws_at(1)->full = true;
	assert_true(slack_socket_ack(world.socket, world.via, "e-3", NULL));
	assert_string_equal(fake_ws_at(0)->sent[0], "{\"envelope_id\":\"e-3\"}");
	fake_ws_close(1, 0, 0, -1, "lost");
	assert_true(slack_socket_ack(world.socket, world.via, "e-4", NULL));
	assert_int_equal(fake_ws_at(0)->n_sent, 2);
	fake_ws_close(0, 0, 0, -1, "lost");
	world_wait_ask(&world, 2, 5000);
	world_give_ticket(&world, 2);
	fake_ws_open(2); /* has not greeted yet: not one to answer on, but one to wait for */
	assert_true(slack_socket_ack(world.socket, world.via, "e-5", NULL));
	assert_int_equal(fake_ws_at(2)->n_sent, 0);
	assert_int_equal(world_stats(&world)->acks, 4);
	assert_int_equal(world_stats(&world)->acks_moved, 2);
	fake_ws_say(2, HELLO);
	assert_string_equal(fake_ws_at(2)->sent[0], "{\"envelope_id\":\"e-5\"}");
	assert_int_equal(world_stats(&world)->acks_moved, 3);
	assert_int_equal(world_stats(&world)->acks_lost, 0);
	world_close(&world);
	free(large);
}

/* Slack waits 3 s in all: what waited nearly so long for the next socket is not worth a frame. */
static void test_stale_acks_are_dropped(void **state)
{
	struct world world;

	(void)state;
	world_open(&world, 1);
	world_run(&world, 1);
	world_let_in(&world, 0);
	fake_ws_say(0, SLASH);
	fake_ws_close(0, 0, 0, -1, "lost");
	assert_true(slack_socket_ack(world.socket, world.via, "e-1", NULL));
	world_run(&world, 2600);
	assert_true(slack_socket_ack(world.socket, world.via, "e-2", NULL));
	world_wait_ask(&world, 1, 5000);
	world_give_ticket(&world, 1);
	fake_ws_open(1);
	fake_ws_say(1, HELLO);
	assert_int_equal(fake_ws_at(1)->n_sent, 1);
	assert_string_equal(fake_ws_at(1)->sent[0], "{\"envelope_id\":\"e-2\"}");
	assert_int_equal(world_stats(&world)->acks_lost, 1);
	world_close(&world);
}

static void test_odd_frames(void **state)
{
	struct world world;

	(void)state;
	world_open(&world, 1);
	world_run(&world, 1);
	world_let_in(&world, 0);
	fake_ws_say(0, "UNAUTHENTICATED: cache_error");
	fake_ws_say(0, "{\"type\":\"slash_commands\"");
	fake_ws_say(0, "{\"type\":\"something\"}");
	assert_int_equal(world_stats(&world)->bad_frames, 3);
	fake_ws_say(0, "{\"type\":\"something\",\"envelope_id\":\"new\",\"payload\":{}}");
	assert_int_equal(world.envelopes, 0);
	assert_string_equal(fake_ws_at(0)->sent[0], "{\"envelope_id\":\"new\"}");
	fake_ws_say(0, HELLO); /* again: only its number counts */
	assert_int_equal(world.ready, 1);
	assert_int_equal(world_stats(&world)->opened, 1);
	world_close(&world);
}

static void test_warning_overlaps(void **state)
{
	struct slack_via old_via;
	struct world world;

	(void)state;
	world_open(&world, 1);
	world_run(&world, 1);
	world_let_in(&world, 0);
	world_run(&world, 60000);
	fake_ws_say(0, DISCONNECT("warning"));
	assert_int_equal(fake_http_count(world.http), 2); /* at once */
	assert_int_equal(fake_ws_at(0)->life, FAKE_WS_OPEN);
	assert_int_equal(world.ready, 1);
	fake_ws_say(0, SLASH);
	old_via = world.via;
	world_run(&world, 400);
	fake_ws_say(0, DISCONNECT("refresh_requested")); /* no second successor */
	assert_int_equal(fake_http_count(world.http), 2);
	world_let_in(&world, 1);
	fake_ws_say(0, SLASH);
	fake_ws_say(1, SLASH);
	assert_int_equal(world.envelopes, 3);
	assert_true(slack_socket_ack(world.socket, old_via, "late", NULL));
	assert_int_equal(fake_ws_at(0)->n_sent, 1);
	assert_int_equal(fake_ws_at(1)->n_sent, 0);
	fake_ws_close(0, 0, 1000, -1, "recycled");
	assert_int_equal(world.ready, 1);
	world_run(&world, 3600 * 1000);
	assert_int_equal(fake_http_count(world.http), 2);
	assert_int_equal(world_stats(&world)->deaf_ms, 0);
	assert_int_equal(world_stats(&world)->refreshed, 1);
	assert_int_equal(world_stats(&world)->lost, 0);
	assert_int_equal(world.err.kind, ERR_NONE);
	world_close(&world);
}

static void test_old_one_is_left_when_drained(void **state)
{
	struct world world;

	(void)state;
	world_open(&world, 1);
	world_run(&world, 1);
	world_let_in(&world, 0);
	world_run(&world, 60000);
	fake_ws_say(0, DISCONNECT("refresh_requested"));
	world_let_in(&world, 1);
	world_run(&world, 14000);
	assert_int_equal(fake_ws_at(0)->life, FAKE_WS_OPEN);
	world_run(&world, 1500);
	assert_int_equal(fake_ws_at(0)->life, FAKE_WS_ABANDONED);
	assert_int_equal(fake_ws_at(1)->life, FAKE_WS_OPEN);
	assert_int_equal(world.ready, 1);
	world_close(&world);
}

/* Refreshed again and again: those that were told to go are read, but not without end. */
static void test_all_that_drain_are_read(void **state)
{
	struct world world;

	(void)state;
	world_open(&world, 1);
	world_run(&world, 1);
	world_let_in(&world, 0);
	for (unsigned i = 0; i < 4; i++) {
		world_run(&world, 1000);
		world.envelopes = 0;
		for (unsigned k = 0; k <= i; k++)
			fake_ws_say(k, SLASH);
		assert_int_equal(world.envelopes, i + 1);
		fake_ws_say(i, DISCONNECT("refresh_requested"));
		assert_int_equal(fake_ws_at(0)->life, i < 3 ? FAKE_WS_OPEN : FAKE_WS_ABANDONED);
		world_let_in(&world, i + 1);
	}
	world_run(&world, 3600 * 1000);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(fake_ws_at(i)->life, FAKE_WS_ABANDONED);
	assert_int_equal(fake_ws_at(4)->life, FAKE_WS_OPEN);
	assert_int_equal(world_stats(&world)->lost, 0);
	world_close(&world);
}

static void test_old_one_stays_until_there_is_another(void **state)
{
	struct world world;

	(void)state;
	world_open(&world, 1);
	world_run(&world, 1);
	world_let_in(&world, 0);
	world_run(&world, 60000);
	fake_ws_say(0, DISCONNECT("warning"));
	fake_http_answer(world.http, 1, 503, "busy", 30000);
	world_run(&world, 20000);
	assert_int_equal(fake_ws_at(0)->life, FAKE_WS_OPEN);
	assert_int_equal(world.ready, 1);
	assert_true(world_wait_ask(&world, 2, 15000) < 15000);
	world_let_in(&world, 2);
	world_run(&world, 6000);
	assert_int_equal(fake_ws_at(0)->life, FAKE_WS_ABANDONED);
	assert_int_equal(world_stats(&world)->deaf_ms, 0);
	world_close(&world);
}

static void test_deaf_time_is_counted(void **state)
{
	struct world world;

	(void)state;
	world_open(&world, 1);
	world_run(&world, 5000);
	assert_int_equal(world_stats(&world)->deaf_ms, 0); /* only from the first hello on */
	world_let_in(&world, 0);
	world_run(&world, 60000);
	fake_ws_say(0, DISCONNECT("refresh_requested"));
	fake_ws_close(0, 0, 1000, -1, "at once");
	assert_int_equal(world.ready, 0);
	world_run(&world, 400);
	assert_in_range(world_stats(&world)->deaf_ms, 400, 405);
	world_let_in(&world, 1);
	world_run(&world, 1000);
	assert_in_range(world_stats(&world)->deaf_ms, 400, 410);
	world_close(&world);
}

/* One reconnect a slot at a time, whatever happens to the others. */
static void test_slots_do_not_mix(void **state)
{
	struct world world;
	struct slack_via via;

	(void)state;
	world_open(&world, 2);
	world_run(&world, 500);
	world_let_in(&world, 0);
	world_let_in(&world, 1);
	world_run(&world, 40000);
	fake_ws_say(0, SLASH);
	via = world.via;
	fake_ws_close(0, 0, 0, -1, "lost");
	fake_ws_say(1, DISCONNECT("warning"));
	world_run(&world, 1000);
	assert_int_equal(fake_http_count(world.http), 4);
	world_let_in(&world, 2);
	world_let_in(&world, 3);
	assert_int_equal(world.ready, 2);
	/* The new socket of slot 0 is another generation: the ack counts as moved. */
	assert_true(slack_socket_ack(world.socket, via, "e-1", NULL));
	assert_int_equal(world_stats(&world)->acks_moved, 1);
	world_run(&world, 600000);
	assert_int_equal(fake_http_count(world.http), 4);
	assert_int_equal(fake_ws_living(), 2);
	world_close(&world);
}

static void test_stop_in_every_state(void **state)
{
	struct world world;

	(void)state;
	for (unsigned step = 0; step < 9; step++) {
		world_open(&world, 2);
		if (step >= 1)
			world_run(&world, 1);
		if (step >= 2)
			world_give_ticket(&world, 0);
		if (step >= 3)
			fake_ws_open(0);
		if (step >= 4)
			fake_ws_say(0, HELLO);
		if (step >= 5)
			fake_ws_say(0, DISCONNECT("warning"));
		if (step >= 6)
			world_give_ticket(&world, 1);
		if (step == 7)
			fake_ws_close(1, 503, 0, -1, "busy");
		if (step == 8)
			fake_ws_say(0, DISCONNECT("link_disabled"));
		world_close(&world);
	}
}

static void test_stop_waits_for_the_close(void **state)
{
	struct world world;

	(void)state;
	world_open(&world, 1);
	world_run(&world, 1);
	world_let_in(&world, 0);
	fake_ws_say(0, SLASH);
	slack_socket_stop(world.socket, world_on_closed, &world);
	assert_false(slack_socket_ack(world.socket, world.via, "e-1", NULL));
	world_run(&world, 500);
	assert_int_equal(world.closed, 0);
	fake_ws_close(0, 0, 1000, -1, "closed by us");
	world_run(&world, 1);
	assert_int_equal(world.closed, 1);
	assert_int_equal(world_stats(&world)->ready, 0);
	slack_socket_destroy(world.socket);
	slack_socket_destroy(NULL);
	fake_http_destroy(world.http);
	fake_ws_reset();
	(void)uv_run(&world.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world.loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_steady_ones),
		cmocka_unit_test(test_acks),
		cmocka_unit_test(test_stale_acks_are_dropped),
		cmocka_unit_test(test_odd_frames),
		cmocka_unit_test(test_warning_overlaps),
		cmocka_unit_test(test_old_one_is_left_when_drained),
		cmocka_unit_test(test_all_that_drain_are_read),
		cmocka_unit_test(test_old_one_stays_until_there_is_another),
		cmocka_unit_test(test_deaf_time_is_counted),
		cmocka_unit_test(test_slots_do_not_mix),
		cmocka_unit_test(test_stop_in_every_state),
		cmocka_unit_test(test_stop_waits_for_the_close),
	};

	return cmocka_run_group_tests_name("socket", tests, NULL, NULL);
}
