/* SPDX-License-Identifier: Apache-2.0 */
/* socket_world.c - what the tests of slack/socket share. */
#include "socket_world.h"

#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "slack/envelope.h"

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

void world_on_closed(void *data)
{
	((struct world *)data)->closed++;
}

void world_open(struct world *world, unsigned connections)
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

void world_close(struct world *world)
{
	unsigned states = world->states;

	slack_socket_stop(world->socket, world_on_closed, world);
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

void world_run(struct world *world, unsigned ms)
{
	fake_time_run(&world->loop, ms);
}

int64_t world_wait_ask(struct world *world, size_t i, int64_t limit_ms)
{
	int64_t start = fake_time_ms();

	while (fake_http_count(world->http) <= i && fake_time_ms() - start < limit_ms)
		world_run(world, 10);
	return fake_time_ms() - start;
}

void world_give_ticket(struct world *world, size_t i)
{
	char *body = xasprintf("{\"ok\":true,\"url\":\"wss:\\/\\/wss.slack.example\\/link\\/"
			       "?ticket=%zu&app_id=A1\"}",
			       i);

	assert_true(fake_http_request(world->http, i)->open);
	fake_http_answer(world->http, i, 200, body, -1);
	world_run(world, 1);
	free(body);
}

size_t world_let_in(struct world *world, size_t i)
{
	size_t ws;

	world_give_ticket(world, i);
	ws = fake_ws_count() - 1;
	fake_ws_open(ws);
	fake_ws_say(ws, HELLO);
	return ws;
}

const struct slack_socket_stats *world_stats(const struct world *world)
{
	return slack_socket_stats(world->socket);
}
