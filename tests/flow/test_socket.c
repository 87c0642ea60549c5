/* SPDX-License-Identifier: Apache-2.0 */
/* socket: each way from state to state, by a clock that jumps; http and ws are fakes. */
#include "../unit/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../fakes/fake_http.h"
#include "../fakes/fake_time.h"
#include "../fakes/fake_ws.h"
#include "base/err.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "slack/envelope.h"
#include "slack/socket.h"

#define HELLO                                                                                      \
	"{\"type\":\"hello\",\"num_connections\":2,\"debug_info\":"                                \
	"{\"approximate_connection_time\":18060}}"
#define DISCONNECT(reason) "{\"type\":\"disconnect\",\"reason\":\"" reason "\"}"
#define SLASH                                                                                      \
	"{\"envelope_id\":\"e-1\",\"type\":\"slash_commands\",\"accepts_response_payload\":true,"  \
	"\"payload\":{\"user_id\":\"U1\",\"trigger_id\":\"1.2.3\"}}"

struct world {
	uv_loop_t loop;
	struct http *http;
	struct slack_socket *socket;
	unsigned ready, states, envelopes, closed;
	bool fatal;
	struct err err; /* ERR_NONE: NULL was told */
	struct slack_via via;
};

static void on_envelope(void *data, const struct envelope *envelope, struct slack_via via)
{
	struct world *world = data;

	assert_non_null(envelope->id);
	world->envelopes++;
	world->via = via;
}

static void on_state(void *data, unsigned ready, const struct err *err, bool fatal)
{
	struct world *world = data;

	world->ready = ready;
	world->fatal = fatal;
	world->err = err != NULL ? *err : (struct err){ .kind = ERR_NONE };
	world->states++;
}

static void on_closed(void *data)
{
	((struct world *)data)->closed++;
}

static void world_open(struct world *world, unsigned connections)
{
	struct slack_socket_config config = { .api_url = "https://slack.example/api/",
					      .app_token = "xapp-of-test",
					      .connections = connections,
					      .envelope = on_envelope,
					      .state = on_state,
					      .data = world };

	memset(world, 0, sizeof(*world));
	assert_int_equal(uv_loop_init(&world->loop), 0);
	world->http = fake_http_create(&world->loop);
	world->socket = slack_socket_create(&world->loop, world->http, NULL, &config);
	assert_int_equal(world->states, 0);
	assert_int_equal(fake_http_count(world->http), 0);
}

/* Stops, lets the fakes answer the close, and wants an empty loop. */
static void world_close(struct world *world)
{
	unsigned states = world->states;

	slack_socket_stop(world->socket, on_closed, world);
	assert_int_equal(world->closed, 0);
	for (size_t i = 0; i < fake_ws_count(); i++) {
		if (fake_ws_at(i)->life != FAKE_WS_CLOSING)
			continue;
		assert_int_equal(fake_ws_at(i)->close_code, 1000);
		fake_ws_close(i, 0, 1000, -1, "closed by us");
	}
	fake_time_run(&world->loop, 1);
	assert_int_equal(world->closed, 1);
	assert_int_equal(world->states, states);
	assert_int_equal(fake_ws_living(), 0);
	slack_socket_destroy(world->socket);
	fake_http_destroy(world->http);
	fake_ws_reset();
	(void)uv_run(&world->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world->loop), 0);
}

static void run(struct world *world, unsigned ms)
{
	fake_time_run(&world->loop, ms);
}

/* Until request number i has been asked; gives the time that passed, at most limit_ms. */
static int64_t wait_ask(struct world *world, size_t i, int64_t limit_ms)
{
	int64_t start = fake_time_ms();

	while (fake_http_count(world->http) <= i && fake_time_ms() - start < limit_ms)
		run(world, 10);
	return fake_time_ms() - start;
}

static void give_ticket(struct world *world, size_t i)
{
	char *body = xasprintf("{\"ok\":true,\"url\":\"wss:\\/\\/wss.slack.example\\/link\\/"
			       "?ticket=%zu&app_id=A1\"}",
			       i);

	assert_true(fake_http_request(world->http, i)->open);
	fake_http_answer(world->http, i, 200, body, -1);
	run(world, 1);
	free(body);
}

/* Ticket i, the newest websocket opens and greets. */
static size_t let_in(struct world *world, size_t i)
{
	size_t ws;

	give_ticket(world, i);
	ws = fake_ws_count() - 1;
	fake_ws_open(ws);
	fake_ws_say(ws, HELLO);
	return ws;
}

static const struct slack_socket_stats *stats(const struct world *world)
{
	return slack_socket_stats(world->socket);
}

static void test_two_steady_ones(void **state)
{
	const struct fake_request *request;
	struct world world;

	(void)state;
	world_open(&world, 2);
	run(&world, 10);
	assert_int_equal(fake_http_count(world.http), 1);
	run(&world, 500); /* not at the same moment */
	assert_int_equal(fake_http_count(world.http), 2);
	request = fake_http_request(world.http, 0);
	assert_string_equal(request->url, "https://slack.example/api/apps.connections.open");
	assert_string_equal(request->bearer, "xapp-of-test");
	assert_string_equal(request->body, "");
	assert_int_equal(let_in(&world, 0), 0);
	assert_string_equal(fake_ws_at(0)->url, "wss://wss.slack.example/link/?ticket=0&app_id=A1");
	assert_int_equal(world.ready, 1);
	let_in(&world, 1);
	assert_int_equal(world.ready, 2);
	assert_int_equal(world.err.kind, ERR_NONE);
	assert_int_equal(stats(&world)->opened, 2);
	assert_int_equal(stats(&world)->num_connections, 2);
	run(&world, 3600 * 1000);
	assert_int_equal(fake_http_count(world.http), 2);
	assert_int_equal(stats(&world)->deaf_ms, 0);
	world_close(&world);
}

static void test_acks(void **state)
{
	struct world world;
	char *large = xmalloc(SLACK_ACK_MAX + 1);

	(void)state;
	world_open(&world, 2);
	run(&world, 500);
	let_in(&world, 0);
	let_in(&world, 1);
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
	assert_false(slack_socket_ack(world.socket, world.via, "e-5", NULL));
	assert_int_equal(stats(&world)->acks, 4);
	assert_int_equal(stats(&world)->acks_moved, 2);
	assert_int_equal(stats(&world)->acks_lost, 1);
	world_close(&world);
	free(large);
}

static void test_odd_frames(void **state)
{
	struct world world;

	(void)state;
	world_open(&world, 1);
	run(&world, 1);
	let_in(&world, 0);
	fake_ws_say(0, "UNAUTHENTICATED: cache_error");
	fake_ws_say(0, "{\"type\":\"slash_commands\"");
	fake_ws_say(0, "{\"type\":\"something\"}");
	assert_int_equal(stats(&world)->bad_frames, 3);
	fake_ws_say(0, "{\"type\":\"something\",\"envelope_id\":\"new\",\"payload\":{}}");
	assert_int_equal(world.envelopes, 0);
	assert_string_equal(fake_ws_at(0)->sent[0], "{\"envelope_id\":\"new\"}");
	fake_ws_say(0, HELLO); /* again: only its number counts */
	assert_int_equal(world.ready, 1);
	assert_int_equal(stats(&world)->opened, 1);
	world_close(&world);
}

static void test_warning_overlaps(void **state)
{
	struct slack_via old_via;
	struct world world;

	(void)state;
	world_open(&world, 1);
	run(&world, 1);
	let_in(&world, 0);
	run(&world, 60000);
	fake_ws_say(0, DISCONNECT("warning"));
	assert_int_equal(fake_http_count(world.http), 2); /* at once */
	assert_int_equal(fake_ws_at(0)->life, FAKE_WS_OPEN);
	assert_int_equal(world.ready, 1);
	fake_ws_say(0, SLASH);
	old_via = world.via;
	run(&world, 400);
	fake_ws_say(0, DISCONNECT("refresh_requested")); /* no second successor */
	assert_int_equal(fake_http_count(world.http), 2);
	let_in(&world, 1);
	fake_ws_say(0, SLASH);
	fake_ws_say(1, SLASH);
	assert_int_equal(world.envelopes, 3);
	assert_true(slack_socket_ack(world.socket, old_via, "late", NULL));
	assert_int_equal(fake_ws_at(0)->n_sent, 1);
	assert_int_equal(fake_ws_at(1)->n_sent, 0);
	fake_ws_close(0, 0, 1000, -1, "recycled");
	assert_int_equal(world.ready, 1);
	run(&world, 3600 * 1000);
	assert_int_equal(fake_http_count(world.http), 2);
	assert_int_equal(stats(&world)->deaf_ms, 0);
	assert_int_equal(stats(&world)->refreshed, 1);
	assert_int_equal(stats(&world)->lost, 0);
	assert_int_equal(world.err.kind, ERR_NONE);
	world_close(&world);
}

static void test_old_one_is_left_when_drained(void **state)
{
	struct world world;

	(void)state;
	world_open(&world, 1);
	run(&world, 1);
	let_in(&world, 0);
	run(&world, 60000);
	fake_ws_say(0, DISCONNECT("refresh_requested"));
	let_in(&world, 1);
	run(&world, 14000);
	assert_int_equal(fake_ws_at(0)->life, FAKE_WS_OPEN);
	run(&world, 1500);
	assert_int_equal(fake_ws_at(0)->life, FAKE_WS_ABANDONED);
	assert_int_equal(fake_ws_at(1)->life, FAKE_WS_OPEN);
	assert_int_equal(world.ready, 1);
	world_close(&world);
}

static void test_old_one_stays_until_there_is_another(void **state)
{
	struct world world;

	(void)state;
	world_open(&world, 1);
	run(&world, 1);
	let_in(&world, 0);
	run(&world, 60000);
	fake_ws_say(0, DISCONNECT("warning"));
	fake_http_answer(world.http, 1, 503, "busy", 30000);
	run(&world, 20000);
	assert_int_equal(fake_ws_at(0)->life, FAKE_WS_OPEN);
	assert_int_equal(world.ready, 1);
	assert_true(wait_ask(&world, 2, 15000) < 15000);
	let_in(&world, 2);
	run(&world, 6000);
	assert_int_equal(fake_ws_at(0)->life, FAKE_WS_ABANDONED);
	assert_int_equal(stats(&world)->deaf_ms, 0);
	world_close(&world);
}

static void test_deaf_time_is_counted(void **state)
{
	struct world world;

	(void)state;
	world_open(&world, 1);
	run(&world, 5000);
	assert_int_equal(stats(&world)->deaf_ms, 0); /* only from the first hello on */
	let_in(&world, 0);
	run(&world, 60000);
	fake_ws_say(0, DISCONNECT("refresh_requested"));
	fake_ws_close(0, 0, 1000, -1, "at once");
	assert_int_equal(world.ready, 0);
	run(&world, 400);
	assert_in_range(stats(&world)->deaf_ms, 400, 405);
	let_in(&world, 1);
	run(&world, 1000);
	assert_in_range(stats(&world)->deaf_ms, 400, 410);
	world_close(&world);
}

static void test_lost(void **state)
{
	struct world world;

	(void)state;
	world_open(&world, 1);
	run(&world, 1);
	let_in(&world, 0);
	run(&world, 31000);
	fake_ws_close(0, 0, 0, -1, "nothing was heard");
	assert_int_equal(fake_http_count(world.http), 2); /* it was stable: at once */
	assert_int_equal(world.ready, 0);
	assert_string_equal(world.err.msg, "nothing was heard");
	let_in(&world, 1);
	run(&world, 1000);
	fake_ws_close(1, 0, 1006, -1, "again");
	assert_int_equal(fake_http_count(world.http), 2); /* it was not */
	assert_in_range(wait_ask(&world, 2, 5000), 400, 1100);
	assert_int_equal(stats(&world)->lost, 2);
	world_close(&world);
}

/* hello alone does not reset the back-off: a socket that dies young is not dialled in a hurry. */
static void test_dying_young(void **state)
{
	struct world world;
	int64_t start;

	(void)state;
	world_open(&world, 1);
	run(&world, 1);
	start = fake_time_ms();
	for (size_t i = 0; i < 20; i++) {
		assert_true(wait_ask(&world, i, 70000) < 70000);
		let_in(&world, i);
		run(&world, 100);
		fake_ws_close(i, 0, 0, -1, "young");
	}
	assert_true(fake_time_ms() - start > 60000);
	wait_ask(&world, 20, 70000);
	let_in(&world, 20);
	run(&world, 31000);
	fake_ws_close(20, 0, 0, -1, "old");
	assert_int_equal(fake_http_count(world.http), 22);
	world_close(&world);
}

static void test_refreshed_over_and_over(void **state)
{
	struct world world;
	size_t i;

	(void)state;
	world_open(&world, 1);
	run(&world, 1);
	let_in(&world, 0);
	for (i = 1; fake_http_count(world.http) < 40; i++) {
		fake_ws_say(fake_ws_count() - 1, DISCONNECT("refresh_requested"));
		(void)wait_ask(&world, i, 70000);
		let_in(&world, i);
		assert_true(fake_ws_living() <= 2);
	}
	assert_true(fake_time_ms() > 60000);
	world_close(&world);
}

static void test_fatal(void **state)
{
	struct world world;

	(void)state;
	world_open(&world, 2);
	run(&world, 500);
	fake_http_answer(world.http, 0, 200, "{\"ok\":false,\"error\":\"token_revoked\"}", -1);
	fake_http_answer(world.http, 1, 200, "{\"ok\":false,\"error\":\"token_revoked\"}", -1);
	run(&world, 1);
	assert_true(world.fatal);
	assert_int_equal(world.ready, 0);
	assert_non_null(strstr(world.err.msg, "token_revoked"));
	run(&world, 299000);
	assert_int_equal(fake_http_count(world.http), 2);
	assert_true(wait_ask(&world, 3, 2000) < 2000); /* the probes */
	let_in(&world, 2);
	assert_false(world.fatal);
	assert_int_equal(world.ready, 1);
	fake_http_answer(world.http, 3, 200, "{\"ok\":false,\"error\":\"missing_scope\"}", -1);
	run(&world, 1);
	assert_true(world.fatal);
	assert_non_null(strstr(world.err.msg, "connections:write"));
	/* The other one is refreshed, so the reason is gone: no need to wait for the probe. */
	fake_ws_say(0, DISCONNECT("warning"));
	run(&world, 10);
	let_in(&world, 4);
	assert_false(world.fatal);
	run(&world, 10);
	assert_int_equal(fake_http_count(world.http), 6);
	world_close(&world);
}

static void test_link_disabled(void **state)
{
	struct world world;

	(void)state;
	world_open(&world, 1);
	run(&world, 1);
	let_in(&world, 0);
	fake_ws_say(0, DISCONNECT("link_disabled"));
	assert_int_equal(fake_ws_at(0)->life, FAKE_WS_ABANDONED);
	assert_true(world.fatal);
	assert_non_null(strstr(world.err.msg, "link_disabled"));
	run(&world, 290000);
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
		run(&world, 1);
		let_in(&world, 0);
		run(&world, 60000);
		fake_ws_say(0, DISCONNECT("too_many_websockets"));
		assert_int_equal(fake_ws_at(0)->life, FAKE_WS_ABANDONED); /* closed first */
		waited = wait_ask(&world, 1, 400000);
		assert_in_range(waited, 10000, 20020);
		let_in(&world, 1);
		fake_ws_say(1, DISCONNECT("too_many_websockets"));
		waited = wait_ask(&world, 2, 400000);
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
	run(&world, 10);
	start = fake_time_ms();
	fake_http_answer(world.http, 0, 429, "", 45000);
	run(&world, 1);
	run(&world, 44000);
	assert_int_equal(fake_http_count(world.http), 1); /* the second slot waits too */
	assert_true(wait_ask(&world, 2, 5000) < 5000);
	assert_in_range(fake_time_ms() - start, 45000, 47000);
	/* Without Retry-After: half a minute. */
	fake_http_answer(world.http, 1, 200, "{\"ok\":false,\"error\":\"ratelimited\"}", -1);
	fake_http_answer(world.http, 2, 200, "{\"ok\":false,\"error\":\"ratelimited\"}", -1);
	run(&world, 29900);
	assert_int_equal(fake_http_count(world.http), 3);
	assert_true(wait_ask(&world, 4, 5000) < 5000);
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
		int64_t waited = wait_ask(&world, i, 70000);

		assert_in_range(waited, 0, 60100);
		last = waited > last ? waited : last;
		assert_false(world.fatal);
		if (i % 7 == 6)
			fake_http_fail(world.http, i, ERR_TIMEOUT, "no answer");
		else
			fake_http_answer(world.http, i, i % 2 ? 200 : 503, bodies[i % 6], -1);
		run(&world, 1);
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
	run(&world, 1);
	fake_http_answer(world.http, 0, 200, "{\"ok\":false,\"error\":\"team_added_to_org\"}", -1);
	run(&world, 1);
	assert_false(world.fatal);
	assert_in_range(wait_ask(&world, 1, 100000), 29000, 61000);
	world_close(&world);
}

static void test_refused_upgrade(void **state)
{
	struct world world;
	int64_t waited;

	(void)state;
	world_open(&world, 2);
	run(&world, 500);
	give_ticket(&world, 0);
	fake_ws_close(0, 409, 0, -1, "HTTP 409");
	waited = wait_ask(&world, 2, 5000);
	assert_in_range(waited, 400, 1100);
	give_ticket(&world, 2); /* a new one */
	assert_string_not_equal(fake_ws_at(0)->url, fake_ws_at(1)->url);
	fake_ws_close(1, 503, 0, 20000, "HTTP 503");
	waited = wait_ask(&world, 3, 30000);
	assert_in_range(waited, 20000, 21100);
	assert_int_equal(stats(&world)->lost, 0);
	world_close(&world);
}

static void test_no_hello(void **state)
{
	struct world world;

	(void)state;
	world_open(&world, 1);
	run(&world, 1);
	give_ticket(&world, 0);
	fake_ws_open(0);
	run(&world, 9900);
	assert_int_equal(fake_ws_at(0)->life, FAKE_WS_OPEN);
	assert_int_equal(world.ready, 0);
	run(&world, 200);
	assert_int_equal(fake_ws_at(0)->life, FAKE_WS_ABANDONED);
	assert_true(wait_ask(&world, 1, 2000) < 2000);
	/* disconnect may come instead of hello */
	give_ticket(&world, 1);
	fake_ws_open(1);
	fake_ws_say(1, DISCONNECT("warning"));
	assert_int_equal(fake_ws_at(1)->life, FAKE_WS_ABANDONED);
	assert_true(wait_ask(&world, 2, 3000) < 3000);
	give_ticket(&world, 2);
	fake_ws_open(2);
	fake_ws_close(2, 0, 1011, -1, "closed");
	assert_true(wait_ask(&world, 3, 5000) < 5000);
	assert_int_equal(stats(&world)->opened, 0);
	world_close(&world);
}

/* One reconnect a slot at a time, whatever happens to the others. */
static void test_slots_do_not_mix(void **state)
{
	struct world world;
	struct slack_via via;

	(void)state;
	world_open(&world, 2);
	run(&world, 500);
	let_in(&world, 0);
	let_in(&world, 1);
	run(&world, 40000);
	fake_ws_say(0, SLASH);
	via = world.via;
	fake_ws_close(0, 0, 0, -1, "lost");
	fake_ws_say(1, DISCONNECT("warning"));
	run(&world, 1000);
	assert_int_equal(fake_http_count(world.http), 4);
	let_in(&world, 2);
	let_in(&world, 3);
	assert_int_equal(world.ready, 2);
	/* The new socket of slot 0 is another generation: the ack counts as moved. */
	assert_true(slack_socket_ack(world.socket, via, "e-1", NULL));
	assert_int_equal(stats(&world)->acks_moved, 1);
	run(&world, 600000);
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
			run(&world, 1);
		if (step >= 2)
			give_ticket(&world, 0);
		if (step >= 3)
			fake_ws_open(0);
		if (step >= 4)
			fake_ws_say(0, HELLO);
		if (step >= 5)
			fake_ws_say(0, DISCONNECT("warning"));
		if (step >= 6)
			give_ticket(&world, 1);
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
	run(&world, 1);
	let_in(&world, 0);
	fake_ws_say(0, SLASH);
	slack_socket_stop(world.socket, on_closed, &world);
	assert_false(slack_socket_ack(world.socket, world.via, "e-1", NULL));
	run(&world, 500);
	assert_int_equal(world.closed, 0);
	fake_ws_close(0, 0, 1000, -1, "closed by us");
	run(&world, 1);
	assert_int_equal(world.closed, 1);
	assert_int_equal(stats(&world)->ready, 0);
	slack_socket_destroy(world.socket);
	slack_socket_destroy(NULL);
	fake_http_destroy(world.http);
	fake_ws_reset();
	(void)uv_run(&world.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world.loop), 0);
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
		run(&world, 1);
		fake_http_answer(world.http, 0, rows[i].code != NULL ? 200 : 404, body, -1);
		run(&world, 1);
		assert_true(world.fatal == rows[i].fatal);
		waited = wait_ask(&world, 1, 400000);
		if (waited < rows[i].least_ms - 20 || waited > rows[i].most_ms)
			fail_msg("%s: after %d ms", rows[i].code, (int)waited);
		world_close(&world);
		free(body);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_steady_ones),
		cmocka_unit_test(test_acks),
		cmocka_unit_test(test_odd_frames),
		cmocka_unit_test(test_warning_overlaps),
		cmocka_unit_test(test_old_one_is_left_when_drained),
		cmocka_unit_test(test_old_one_stays_until_there_is_another),
		cmocka_unit_test(test_deaf_time_is_counted),
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
		cmocka_unit_test(test_slots_do_not_mix),
		cmocka_unit_test(test_stop_in_every_state),
		cmocka_unit_test(test_stop_waits_for_the_close),
		cmocka_unit_test(test_classes),
	};

	return cmocka_run_group_tests_name("socket", tests, NULL, NULL);
}
